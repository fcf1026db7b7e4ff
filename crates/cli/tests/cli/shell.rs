//! `ottla completions` in a real shell, and `ottla man`.

use std::process::{Command, Stdio};

use crate::{
    groups::commit,
    support::{Broker, numbers, run},
};

/// What bash offers for the last of these words, with `ottla` where a shell would find it.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(ottla completions bash)
        COMP_WORDS=(ottla "$@"); COMP_CWORD=$#; COMP_TYPE=9; COMP_LINE="ottla $*"; COMP_POINT=${#COMP_LINE}
        complete -p ottla | grep -q -- '-F' || exit 3
        "$(complete -p ottla | sed 's/.*-F \([^ ]*\).*/\1/')" ottla "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let ottla = std::path::Path::new(env!("CARGO_BIN_EXE_ottla"));
    let path = std::env::join_paths(
        ottla
            .parent()
            .map(Into::into)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).args(words).env("PATH", path.unwrap());
    bash.env_remove("OTTLA_BOOTSTRAP_SERVERS").env_remove("OTTLA_CONFIG").stdin(Stdio::null());
    let output = bash.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_shell_completes_verbs_and_flags() {
    assert_eq!(offered(&["cons"]), ["consume"]);
    assert_eq!(offered(&["groups", "reset-offsets", "--to-e"]), ["--to-earliest"]);
    assert_eq!(offered(&["consume", "t", "--isolation", "read_c"]), ["read_committed"]);
    assert!(offered(&["top"]).contains(&"topics".to_owned()));
}

#[test]
fn a_shell_completes_names_of_topics_groups_and_brokers_that_the_cluster_has() {
    let broker = Broker::start(&["orders:1", "orders-retry:1", "t:1"]);
    broker.produce(&["t"], &numbers(0..3)).ok();
    commit(&broker, "billing", "1");
    let of = |words: &[&str]| offered(&[&["-b", &broker.servers], words].concat());
    assert_eq!(of(&["consume", "ord"]), ["orders", "orders-retry"]);
    assert_eq!(of(&["consume", "t", "-G", ""]), ["billing"]);
    assert_eq!(of(&["lag", "bil"]), ["billing"]);
    assert_eq!(of(&["groups", "delete", "b"]), ["billing"]);
    assert_eq!(of(&["topics", "describe", "t"]), ["t"]);
    assert_eq!(of(&["groups", "reset-offsets", "-G", "billing", "-t", "o"]), ["orders", "orders-retry"]);
    let given = format!("bootstrap.servers={}", broker.servers);
    let of = |words: &[&str]| offered(&[&["-X", &given], words].concat());
    assert_eq!(of(&["lag", "-b", ""]), [broker.servers.as_str()]);
    assert_eq!(of(&["lag", "-b", "other:1,"]), [format!("other:1,{}", broker.servers)]);
    assert_eq!(of(&["lag", "-b", "other"]), [""; 0]);
}

#[test]
fn a_cluster_that_cannot_be_asked_offers_nothing_in_silence() {
    assert_eq!(offered(&["-b", "127.0.0.1:1", "lag", "bil"]), [""; 0]);
}

#[test]
fn each_shell_has_its_script_and_any_other_is_refused() {
    for (shell, says) in [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete --")] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains(says) && script.contains("OTTLA_COMPLETE"), "{script}");
    }
    assert!(run(&["completions", "ksh"]).failed(2).contains("bash, zsh, fish"));
}

#[test]
fn each_verb_has_a_manual_page_with_its_flags() {
    let folder = std::env::temp_dir().join(format!("ottla-man-{}", std::process::id()));
    run(&["man", folder.to_str().unwrap()]).ok();
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    for (name, says) in [
        ("ottla.1", "consumers from the command line"),
        ("ottla-consume.1", "\\-\\-isolation"),
        ("ottla-groups-reset-offsets.1", "\\-\\-to\\-earliest"),
        ("ottla-lag.1", "\\-\\-watch"),
        ("ottla-serve.1", "\\-\\-listen"),
        ("ottla-top.1", "\\-\\-interval"),
    ] {
        assert!(page(name).contains(says), "{name}: {}", page(name));
    }
    let file = folder.join("ottla.1");
    assert!(run(&["man", file.to_str().unwrap()]).failed(1).contains("ottla.1"));
    std::fs::remove_dir_all(folder).unwrap();
}
