//! What a shell offers next: verbs and flags as they are defined, and names of topics and groups, and addresses of brokers, as the
//! cluster has them which the words so far name.

mod words;

use std::{
    ffi::{OsStr, OsString},
    io,
    process::{Command as Process, Stdio},
    sync::Arc,
};

use clap::{Arg, Command, CommandFactory};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use serde_json::Value;

use crate::args::Cli;

/// By this variable a shell's script says that it asks, and which shell it is.
const VARIABLE: &str = "OTTLA_COMPLETE";
/// How long a cluster is asked for names: a person has pressed a key.
const PATIENCE: &str = "default.api.timeout.ms=1500";

/// The flags that say which cluster is meant, and how it is reached.
const WHICH: [&str; 4] = ["-b", "--bootstrap-servers", "-X", "--config"];
/// Those of them that do not name its brokers.
const HOW: [&str; 2] = ["-X", "--config"];

/// Answers a shell's script, and ends, if it is one that asks.
pub(crate) fn answer() {
    let shell = std::env::var(VARIABLE).unwrap_or_default();
    let home = std::env::var("HOME").ok();
    let words: Arc<[OsString]> = words::given(&shell, std::env::args_os(), home.as_deref()).into();
    let env = CompleteEnv::with_factory(|| with_names(Cli::command(), &words)).var(VARIABLE);
    match env.try_complete(words.iter(), std::env::current_dir().ok().as_deref()) {
        Ok(false) => {}
        Ok(true) => std::process::exit(0),
        Err(error) => error.exit(),
    }
}

/// The script by which a shell asks. In that of clap for bash a word ends at a colon.
pub(crate) fn script(shell: &str) -> io::Result<String> {
    if shell == "bash" {
        return Ok(include_str!("bash.sh").to_owned());
    }
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(|| io::Error::other(format!("no script for {shell}")))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "ottla", "ottla", "ottla", &mut script)?;
    String::from_utf8(script).map_err(io::Error::other)
}

/// Arguments whose value is called a topic, a group, or servers, are completed by names. `words` say which cluster's.
fn with_names(command: Command, words: &Arc<[OsString]>) -> Command {
    let with_names_of_argument = |arg: Arg| {
        let called = arg.get_value_names().and_then(<[_]>::first).map(|name| name.to_string());
        let called = called.unwrap_or_else(|| arg.get_id().to_string().to_uppercase());
        let offer: fn(&OsStr, &[OsString]) -> _ = match called.split(['[', ' ']).next() {
            Some("TOPIC" | "TOPICS") => topics,
            Some("GROUP" | "GROUPS") => groups,
            Some("SERVERS") => brokers,
            _ => return arg,
        };
        let words = words.clone();
        arg.add(ArgValueCompleter::new(move |begin: &OsStr| offer(begin, &words)))
    };
    command.mut_args(with_names_of_argument).mut_subcommands(|verb| with_names(verb, words))
}

fn topics(begin: &OsStr, words: &[OsString]) -> Vec<CompletionCandidate> {
    let names = names(&["topics", "list"], "topic", &cluster(words, &WHICH));
    offer(names.into_iter().filter(|name| !name.starts_with("__")), begin)
}

fn groups(begin: &OsStr, words: &[OsString]) -> Vec<CompletionCandidate> {
    offer(names(&["groups", "list"], "group", &cluster(words, &WHICH)), begin)
}

/// Of a list of addresses the last is completed. What is being written says not yet which cluster is meant.
fn brokers(begin: &OsStr, words: &[OsString]) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    let before = begin.rfind(',').map_or("", |comma| &begin[..=comma]);
    let names = names(&["cluster"], "address", &cluster(words, &HOW));
    offer(names.into_iter().map(|name| format!("{before}{name}")), begin.as_ref().as_ref())
}

fn offer(names: impl IntoIterator<Item = String>, begin: &OsStr) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(&*begin)).map(CompletionCandidate::new).collect()
}

/// As this command lists them. A cluster that cannot be asked has none, in silence: the next key comes at once.
fn names(list: &[&str], column: &str, cluster: &[OsString]) -> Vec<String> {
    let ask = || -> io::Result<Vec<u8>> {
        let mut ask = Process::new(std::env::current_exe()?);
        ask.args(list).args(["--output", "json"]).args(cluster).args(["-X", PATIENCE]);
        Ok(ask.stdin(Stdio::null()).stderr(Stdio::null()).output()?.stdout)
    };
    let rows = ask().unwrap_or_default();
    let rows = rows.split(|byte| *byte == b'\n').filter_map(|row| serde_json::from_slice::<Value>(row).ok());
    rows.filter_map(|row| row.get(column)?.as_str().map(str::to_owned)).collect()
}

/// The words behind `--` that have these flags.
fn cluster(words: &[OsString], flags: &[&str]) -> Vec<OsString> {
    let mut words = words.iter().cloned().skip_while(|word| word != "--").skip(1).peekable();
    let mut about = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if flags.contains(&&*text) {
            // The value may be what is being completed.
            let Some(value) = words.next_if(|value| !value.is_empty()) else { continue };
            about.extend([word, value]);
        } else if flags
            .iter()
            .any(|flag| text.starts_with(flag) && (text.contains('=') || !flag.starts_with("--")))
        {
            about.push(word);
        }
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = ["ottla", "--"].iter().chain(words).map(OsString::from).collect();
        cluster(&words, &WHICH).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn the_words_that_name_the_cluster_are_used_and_no_others() {
        let words = [
            "ottla",
            "-b",
            "a:1",
            "consume",
            "-X",
            "k=v",
            "--config=f",
            "-bc:2",
            "--output",
            "json",
            "-o",
            "end",
            "",
        ];
        assert_eq!(about(&words), ["-b", "a:1", "-X", "k=v", "--config=f", "-bc:2"]);
        assert_eq!(about(&["ottla", "lag", "-b", ""]), [""; 0], "it is not written yet");
        assert_eq!(about(&["ottla", "lag", "-b"]), [""; 0]);
    }

    #[test]
    fn a_shell_without_a_script_is_told() {
        assert!(script("ksh").is_err());
    }
}
