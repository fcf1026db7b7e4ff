//! What users see of the crates: named and used from outside of the workspace, and listed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_conformance::binary;
use ottla_conformance::process::run;
use ottla_conformance::public_api::{FACES, WRITE, document};
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, holds};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::embedded("a_program_outside_works_with_the_ottla_crate_alone", outside).heavy(),
        Case::alone("a_program_outside_names_every_public_type", names),
        Case::alone("a_program_outside_is_locked_to_what_the_workspace_is_locked_to", locked),
        Case::alone("the_public_api_is_as_listed", listed).with_nightly().heavy(),
    ]
}

fn outside(target: &Target) -> Outcome {
    let mut program = Command::new(binary::outside()?);
    program.args([target.bootstrap(), unique("outside")]);
    run(&program, 4 * PATIENCE)?;
    Ok(())
}

/// Else it could not be built without a network, where only the workspace's packages are on the machine.
fn locked() -> Outcome {
    let packages = |path: &str| -> Result<BTreeSet<String>, std::io::Error> {
        let lock = std::fs::read_to_string(workspace().join(path))?;
        let named = |package: &str| package.lines().take(2).collect::<Vec<_>>().join(", ");
        Ok(lock.split("[[package]]\n").skip(1).map(named).collect())
    };
    let (ours, outside) = (packages("Cargo.lock")?, packages("conformance/outside/Cargo.lock")?);
    let others: Vec<&String> =
        outside.difference(&ours).filter(|package| !package.contains("ottla-outside")).collect();
    holds(
        &format!("`cargo update -p NAME --precise VERSION` in conformance/outside: {others:?}"),
        others.is_empty(),
    )
}

/// Types, traits and functions of the listing stand in the signatures of the program outside, or in the heads of its `impl`s.
fn names() -> Outcome {
    let listing = std::fs::read_to_string(workspace().join("crates/client/public-api.txt"))?;
    let mut named = BTreeSet::new();
    for file in std::fs::read_dir(workspace().join("conformance/outside/src"))? {
        let source = std::fs::read_to_string(file?.path())?;
        let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        // Functions and constants are no types, so that they may stand anywhere.
        let is_value = |word: &&str| !word.starts_with(char::is_uppercase) || *word == word.to_uppercase();
        named.extend(words(&code).filter(is_value).map(str::to_owned));
        for head in ["fn ", "impl", "type "] {
            let signatures = code.split(head).skip(1).filter_map(|rest| rest.split(['{', ';']).next());
            named.extend(signatures.flat_map(words).map(str::to_owned));
        }
    }
    let missing: Vec<&str> =
        listing.lines().filter_map(public_name).filter(|name| !named.contains(*name)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("conformance/outside does not name {}", missing.join(", ")).into()),
    }
}

/// The name of a type, a trait or a function, if that is what a line of the listing begins: what belongs to a type is not.
fn public_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("#[non_exhaustive] ").unwrap_or(line).strip_prefix("pub ")?;
    let line =
        ["const ", "async "].into_iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    let (kind, rest) = line.split_once(' ')?;
    let path = rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next()?;
    let (modules, name) = path.trim_end_matches(':').rsplit_once("::")?;
    let is_of_a_type = modules.split("::").any(|part| part.starts_with(char::is_uppercase));
    (["struct", "enum", "trait", "type", "use", "fn"].contains(&kind) && !is_of_a_type).then_some(name)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn listed() -> Outcome {
    let documented = document()?;
    let mut wrong = Vec::new();
    for face in FACES {
        let (listing, unnamed) = face.listing(&documented)?;
        wrong.extend(unnamed.into_iter().map(|what| format!("users have no name for {what}")));
        let file = workspace().join(face.file);
        if std::env::var_os("OTTLA_BLESS").is_some() {
            std::fs::write(&file, listing)?;
        } else if let Some(change) = change(&std::fs::read_to_string(&file)?, &listing) {
            wrong.push(format!("{} is not what the crate offers:\n{change}", face.file));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}\nA change of the public API needs a line in CHANGELOG.md; then: {WRITE}",
            wrong.join("\n")
        )
        .into()),
    }
}

/// The lines that are gone, and those that are new.
fn change(before: &str, now: &str) -> Option<String> {
    let (was, is): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), now.lines().collect());
    let gone = was.difference(&is).map(|line| format!("-{line}"));
    let new = is.difference(&was).map(|line| format!("+{line}"));
    let change: Vec<String> = gone.chain(new).collect();
    (before != now).then(|| change.join("\n"))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("")
}
