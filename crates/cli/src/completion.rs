//! What a shell offers next: verbs and flags as they are defined, and names of topics and groups, and addresses of brokers, as the
//! cluster has them which the words so far name.

use std::{
    ffi::{OsStr, OsString},
    io,
    process::{Command as Process, Stdio},
};

use clap::{Arg, Command, CommandFactory};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use serde_json::Value;

use crate::args::Cli;

/// By this variable a shell's script says that it asks.
const VARIABLE: &str = "OTTLA_COMPLETE";
/// How long a cluster is asked for names: a person has pressed a key.
const PATIENCE: &str = "default.api.timeout.ms=1500";

/// The flags that say which cluster is meant, and how it is reached.
const WHICH: [&str; 4] = ["-b", "--bootstrap-servers", "-X", "--config"];
/// Those of them that do not name its brokers.
const HOW: [&str; 2] = ["-X", "--config"];

/// Answers a shell's script, and ends, if it is one that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(|| with_names(Cli::command())).var(VARIABLE).complete();
}

/// The script by which a shell asks.
pub(crate) fn script(shell: &str) -> io::Result<String> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(|| io::Error::other(format!("no script for {shell}")))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "ottla", "ottla", "ottla", &mut script)?;
    String::from_utf8(script).map_err(io::Error::other)
}

/// Arguments whose value is called a topic, a group, or servers, are completed by names.
fn with_names(command: Command) -> Command {
    let with_names_of_argument = |arg: Arg| {
        let called = arg.get_value_names().and_then(<[_]>::first).map(|name| name.to_string());
        let called = called.unwrap_or_else(|| arg.get_id().to_string().to_uppercase());
        match called.split(['[', ' ']).next() {
            Some("TOPIC" | "TOPICS") => arg.add(ArgValueCompleter::new(topics)),
            Some("GROUP" | "GROUPS") => arg.add(ArgValueCompleter::new(groups)),
            Some("SERVERS") => arg.add(ArgValueCompleter::new(brokers)),
            _ => arg,
        }
    };
    command.mut_args(with_names_of_argument).mut_subcommands(with_names)
}

fn topics(begin: &OsStr) -> Vec<CompletionCandidate> {
    let names = names(&["topics", "list"], "topic", &meant(&WHICH));
    offer(names.into_iter().filter(|name| !name.starts_with("__")), begin)
}

fn groups(begin: &OsStr) -> Vec<CompletionCandidate> {
    offer(names(&["groups", "list"], "group", &meant(&WHICH)), begin)
}

/// Of a list of addresses the last is completed. What is being written says not yet which cluster is meant.
fn brokers(begin: &OsStr) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    let before = begin.rfind(',').map_or("", |comma| &begin[..=comma]);
    let names = names(&["cluster"], "address", &meant(&HOW));
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

/// The words so far that have these flags.
fn meant(flags: &[&str]) -> Vec<OsString> {
    cluster(std::env::args_os(), flags)
}

fn cluster(words: impl IntoIterator<Item = OsString>, flags: &[&str]) -> Vec<OsString> {
    let mut words = words.into_iter().skip_while(|word| word != "--").skip(1).peekable();
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
        let words = ["ottla", "--"].iter().chain(words).map(OsString::from);
        cluster(words, &WHICH).into_iter().map(|word| word.into_string().unwrap()).collect()
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
