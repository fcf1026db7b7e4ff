//! What members' own processes say that they wait for, where they offer it (`ConsumerBuilder::explain_socket`).

use std::path::{Path, PathBuf};

use super::finding::{Finding, Kind};

/// How many lines of it are quoted.
const QUOTED: usize = 5;

/// A consumer, as it has told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    process: String,
    group: String,
    member: String,
    /// A line for each of what it waits for.
    lines: Vec<String>,
}

/// What was asked, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Explained(Vec<(PathBuf, Result<Told, String>)>);

impl Explained {
    /// One socket after the other.
    pub(super) async fn ask(paths: &[PathBuf]) -> Self {
        let mut told = Vec::new();
        for path in paths {
            let text = read(path).await;
            told.push((path.clone(), text.and_then(|text| Told::parse(&text))));
        }
        Self(told)
    }

    /// Has findings of a member that stands quote what it says, and tells of what is quoted nowhere.
    pub(super) fn quote(self, findings: &mut Vec<Finding>) {
        for (path, told) in self.0 {
            let path = path.display();
            let told = match told {
                Ok(told) => told,
                Err(why) => {
                    findings.push(Finding::new(Kind::NotAsked, format!("{path}: {why}")));
                    continue;
                }
            };
            let of_it = findings.iter_mut().filter(|it| told.is_told_of(it));
            let mut is_quoted = false;
            for finding in of_it {
                finding.seen = format!("{}; {}", finding.seen, told.text(finding));
                is_quoted = true;
            }
            if !is_quoted {
                let finding = Finding::new(Kind::Explained, "").group(&told.group).member(&told.member);
                let seen = format!("{path}: {}", told.text(&finding));
                findings.push(Finding { seen, ..finding });
            }
        }
    }
}

impl Told {
    fn parse(text: &str) -> Result<Self, String> {
        let no_consumer = || "what answers there is no consumer that explains itself".to_owned();
        let (head, body) = text.split_once("\n\n").ok_or_else(no_consumer)?;
        let mut head = head.lines();
        if head.next() != Some("ottla-explain 1") {
            return Err(no_consumer());
        }
        let fields: Vec<(&str, &str)> = head.filter_map(|line| line.split_once(' ')).collect();
        let field = |name: &str| {
            let found = fields.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or_else(no_consumer)
        };
        let lines = body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Ok(Self { process: field("process")?, group: field("group")?, member: field("member")?, lines })
    }

    /// A member that stands, and is this one.
    fn is_told_of(&self, finding: &Finding) -> bool {
        matches!(finding.kind, Kind::MemberStuck | Kind::NotCommitting)
            && is_written(finding.place.group.as_deref(), &self.group)
            && is_written(finding.place.member.as_deref(), &self.member)
    }

    /// Of its partitions what the finding is about, if it is about one.
    fn text(&self, finding: &Finding) -> String {
        let place = &finding.place;
        let at =
            place.topic.as_ref().zip(place.partition).map(|(topic, number)| format!("{topic}-{number}: "));
        let is_general = |line: &&String| {
            let of_topic = place.topic.as_ref().is_some_and(|topic| line.starts_with(&format!("{topic}: ")));
            of_topic || ["program: ", "broker ", "group: ", "commit: "].iter().any(|it| line.starts_with(it))
        };
        let concerns = |line: &&String| at.as_ref().is_none_or(|at| is_general(line) || line.starts_with(at));
        let lines: Vec<&str> = self.lines.iter().filter(concerns).map(String::as_str).collect();
        let more = match lines.len().saturating_sub(QUOTED) {
            0 => String::new(),
            more => format!("; and {more} lines more"),
        };
        let quoted = match lines.is_empty() {
            true => "it waits for nothing".to_owned(),
            false => lines.into_iter().take(QUOTED).collect::<Vec<_>>().join("; "),
        };
        format!("its process ({}) says: {quoted}{more}", self.process)
    }
}

/// Whether a name is what stands there, where each name has one line.
fn is_written(name: Option<&str>, there: &str) -> bool {
    name.is_some_and(|name| name.escape_debug().eq(there.chars()))
}

#[cfg(unix)]
async fn read(path: &Path) -> Result<String, String> {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt as _, net::UnixStream, time::timeout};

    /// More than a consumer writes.
    const MOST: u64 = 1 << 20;
    /// Others may be read before, each for a second.
    const PATIENCE: Duration = Duration::from_secs(5);

    let mut bytes = Vec::new();
    let read = async {
        let stream = UnixStream::connect(path).await?;
        stream.take(MOST).read_to_end(&mut bytes).await
    };
    match timeout(PATIENCE, read).await {
        Ok(Ok(_)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing came within {PATIENCE:?}")),
    }
}

#[cfg(not(unix))]
async fn read(_: &Path) -> Result<String, String> {
    Err("there are no Unix sockets here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "ottla-explain 1\nprocess 7\ngroup g\nmember m\n\nprogram: away\nt-0: waits\nt-1: at the end\n";

    fn told() -> Told {
        Told::parse(TEXT).unwrap()
    }

    #[test]
    fn a_member_that_stands_is_told_with_what_its_process_says_of_that_partition() {
        let at = ottla::TopicPartition::new("t", 0);
        let stands = |member: &str| Finding::new(Kind::MemberStuck, "it stands").group("g").member(member);
        let mut found = vec![stands("m").partition(&at), stands("other")];
        Explained(vec![("p".into(), Ok(told()))]).quote(&mut found);
        assert_eq!(found[0].seen, "it stands; its process (7) says: program: away; t-0: waits");
        assert_eq!((found[1].seen.as_str(), found.len()), ("it stands", 2));
    }

    #[test]
    fn what_is_quoted_nowhere_is_told_by_itself_and_what_cannot_be_read_too() {
        let mut found = Vec::new();
        let asked = [Ok(told()), Err("no such file".to_owned())];
        Explained(asked.map(|told| ("p".into(), told)).into()).quote(&mut found);
        let seen: Vec<(Kind, &str)> = found.iter().map(|it| (it.kind, it.seen.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Explained, "p: its process (7) says: program: away; t-0: waits; t-1: at the end"),
                (Kind::NotAsked, "p: no such file"),
            ]
        );
    }

    #[test]
    fn what_is_no_explanation_is_not_taken_for_one() {
        for text in ["", "\n\n", "HTTP/1.1 400\n\n", "ottla-explain 2\nprocess 1\ngroup g\nmember m\n\n"] {
            assert!(Told::parse(text).is_err(), "{text:?}");
        }
        assert!(Told::parse("ottla-explain 1\nprocess 1\ngroup g\n\n").is_err(), "whose it is is not told");
        let many: String = (0..9).map(|n| format!("t-{n}: x\n")).collect();
        let told = Told::parse(&format!("ottla-explain 1\nprocess 1\ngroup g\nmember m\n\n{many}")).unwrap();
        assert!(told.text(&Finding::new(Kind::MemberStuck, "")).ends_with("t-4: x; and 4 lines more"));
    }
}
