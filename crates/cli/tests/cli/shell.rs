//! `ottla completions`, of which `completions` has what shells make of it, and `ottla man`.

use crate::support::run;

#[test]
fn each_shell_has_its_script_and_any_other_is_refused() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("complete ") || script.contains("compdef "), "{script}");
        assert!(script.contains("OTTLA_COMPLETE"), "{script}");
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
