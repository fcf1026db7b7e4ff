//! What a person sees who types and presses the tabulator, in a real bash, zsh and fish.

use std::process::{Command, Stdio};

use crate::{
    groups::commit,
    support::{Broker, Dir, File, numbers, until},
    terminal::Terminal,
};

const PROMPT: &str = "ready> ";

/// A shell that has read the script as its user's own file has it read.
struct Shell {
    name: &'static str,
    terminal: Terminal,
    /// How often it was asked.
    asked: u32,
    home: Dir,
}

impl Shell {
    fn start(name: &'static str) -> Self {
        // Else it would be the terminal that stays empty.
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        assert!(version.is_ok_and(|version| version.success()), "this test needs {name}");
        let home = Dir::new(&format!("home-{name}-{:?}", std::thread::current().id()));
        std::fs::create_dir(&home.0).unwrap();
        let file = |file: &str, text: &str| {
            let path = home.0.join(file);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let args = match name {
            "bash" => {
                // As many have it, and fish does: what fits is listed at once.
                let text =
                    "PS1='ready> '; bind 'set show-all-if-ambiguous on'; source <(ottla completions bash)";
                vec!["--rcfile".to_owned(), file("bashrc", text), "-i".to_owned()]
            }
            "zsh" => {
                let text = "PS1='ready> '; setopt no_list_ambiguous; autoload -U compinit; compinit -u -D; source <(ottla completions zsh)";
                file(".zshrc", text);
                ["-d", "-i"].map(String::from).to_vec()
            }
            _ => {
                let text = "set -g fish_autosuggestion_enabled 0; function fish_prompt; printf 'ready> '; end
                    ottla completions fish | source";
                ["--no-config", "--private", "-C", text].map(String::from).to_vec()
            }
        };
        let ottla = std::path::Path::new(env!("CARGO_BIN_EXE_ottla")).parent().map(Into::into);
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(ottla.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let terminal = Terminal::start(200, 50, name, |command| {
            command.args(args).env("PATH", path).env("HOME", &home.0).env("ZDOTDIR", &home.0);
            command.env("XDG_CONFIG_HOME", &home.0).env("XDG_DATA_HOME", &home.0).current_dir(&home.0)
        });
        terminal.shows(&[PROMPT.trim_end()]);
        Self { name, terminal, asked: 0, home }
    }

    fn press(&mut self, keys: &str) {
        // An empty line on an empty screen.
        self.terminal.press(&format!("\u{15}\u{c}{keys}"));
    }

    /// What becomes of a line by the tabulator.
    fn completed(&mut self, typed: &str) -> String {
        self.asked += 1;
        let mark = format!("#{}", self.asked);
        // It is read once the tabulator has been answered.
        self.press(&format!("{typed}\t{mark}"));
        until(&format!("{}: the answer to {typed}", self.name), || {
            let lines = self.terminal.lines();
            let line = lines.iter().find_map(|line| line.strip_prefix(PROMPT)?.strip_suffix(&mark));
            line.map(str::to_owned)
        })
    }

    /// A name that is the only one is written, and a blank where the word is at its end.
    fn completes(&mut self, typed: &str, to: &str) {
        assert_eq!(self.completed(typed), to, "{}", self.name);
    }

    fn offers_nothing(&mut self, typed: &str) {
        self.completes(typed, typed);
    }

    /// These are listed, and nothing else.
    fn lists(&mut self, typed: &str, names: &[&str]) {
        self.press(&format!("{typed}\t"));
        until(&format!("{}: {names:?} for {typed}", self.name), || {
            let lines = self.terminal.lines();
            let listed = lines.iter().filter(|line| !line.starts_with(PROMPT.trim_end()));
            listed.flat_map(|line| line.split_whitespace()).eq(names.iter().copied()).then_some(())
        });
    }
}

fn in_each_shell(test: impl Fn(&mut Shell)) {
    for name in ["bash", "zsh", "fish"] {
        test(&mut Shell::start(name));
    }
}

#[test]
fn shells_complete_verbs_flags_and_values() {
    in_each_shell(|shell| {
        shell.completes("ottla cons", "ottla consume ");
        shell.completes("ottla groups reset-offsets --to-e", "ottla groups reset-offsets --to-earliest ");
        shell.completes("ottla consume t --isolation read_c", "ottla consume t --isolation read_committed ");
        shell.completes("ottla consume t --isolation=read_c", "ottla consume t --isolation=read_committed ");
        shell.completes(
            "ottla consume 'a b' --isolation read_c",
            "ottla consume 'a b' --isolation read_committed ",
        );
        shell.completes("ottla man /us", "ottla man /usr/");
        shell.offers_nothing("ottla nonsense-");
    });
}

#[test]
fn shells_complete_names_of_topics_groups_and_brokers_of_the_cluster_that_the_line_names() {
    let broker = Broker::start(&["orders:1", "orders-retry:1", "t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    for group in ["billing", "my group:1", "my group:2"] {
        commit(&broker, group, "1");
    }
    let at = broker.servers.as_str();
    let (host, _) = at.split_once(':').unwrap();
    let file = File::new("completed.properties", &format!("bootstrap.servers={at}\n"));
    in_each_shell(|shell| {
        for which in [
            format!("-b {at}"),
            format!("-b{at}"),
            format!("--bootstrap-servers={at}"),
            format!("-X bootstrap.servers={at}"),
            format!("-X 'bootstrap.servers={at}'"),
            format!("-X \"bootstrap.servers={at}\""),
            format!("--config {}", file.path()),
            "--config ~/its.properties".to_owned(),
        ] {
            std::fs::copy(file.path(), shell.home.0.join("its.properties")).unwrap();
            shell.completes(&format!("ottla {which} lag bil"), &format!("ottla {which} lag billing "));
        }
        let of = |line: &str| format!("ottla -b {at} {line}");
        shell.lists(&of("consume ord"), &["orders", "orders-retry"]);
        shell.lists(&of("groups reset-offsets -G billing -t o"), &["orders", "orders-retry"]);
        shell.completes(&of("consume t -G b"), &of("consume t -G billing "));
        shell.completes(&of("groups delete b"), &of("groups delete billing "));
        shell.completes(&of("topics describe t"), &of("topics describe t "));
        // What has a blank in it is quoted, and goes on behind it.
        shell.completes(&of("lag my\\ group:2"), &of("lag my\\ group:2 "));
        shell.completes(&of("lag 'my group:2"), &of("lag 'my group:2' "));
        shell.completes(&of("lag 'my gr"), &of("lag 'my group:"));
        let given = |line: &str| format!("ottla -X bootstrap.servers={at} {line}");
        shell.completes(&given(&format!("lag -b {host}:")), &given(&format!("lag -b {at} ")));
        shell.completes(&given("lag -b other:1,"), &given(&format!("lag -b other:1,{at} ")));
        shell.offers_nothing(&given("lag -b other"));
    });
}

#[test]
fn a_cluster_that_cannot_be_asked_offers_nothing_in_silence() {
    in_each_shell(|shell| shell.offers_nothing("ottla -b 127.0.0.1:1 lag bil"));
}
