//! The public API of a crate, an item a line, as its users see it.
//!
//! The nightly toolchain's rustdoc tells a crate's API as JSON, and the crate `public-api` makes lines of it. It stops
//! where a crate re-exports what is another's: so those items are listed here from the other crate's JSON, by the names
//! that users have for them. What is said of internal modules' paths is nothing that a user could see, and is not listed.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON answers null for what it does not have, and paths are cut where they were found"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use public_api::{Builder, PublicApi};
use serde_json::Value;

use crate::process;

/// Its own dependencies are checked, and nothing is linked.
const WITHIN: Duration = Duration::from_secs(900);

const TOOLCHAIN: &str = "nightly";

/// A crate that users depend on, and those whose items it re-exports.
#[derive(Debug)]
pub struct Face {
    package: &'static str,
    behind: &'static [&'static str],
    /// The file of its listing, from the root of the workspace.
    pub file: &'static str,
}

/// The crates that users depend on.
pub const FACES: &[Face] = &[
    Face {
        package: "ottla",
        behind: &["ottla-core", "ottla-protocol"],
        file: "crates/client/public-api.txt",
    },
    Face { package: "ottla-broker", behind: &[], file: "crates/broker/public-api.txt" },
];

/// The command that writes the listings anew.
pub const WRITE: &str =
    "OTTLA_BLESS=1 cargo test -p ottla-conformance --test suite -- the_public_api_is_as_listed";

/// All that users can switch on. A path such as `ottla/json` would name the feature of ottla's dependency on itself, which its
/// tests have, and would switch nothing on here.
const FEATURES: &str = "bytes,json,metrics,serde,tower,uuid";

impl Face {
    /// Its items, and what is wrong with it: names in signatures that users have none for. `documented` is where
    /// [`document`] wrote.
    pub fn listing(&self, documented: &Path) -> Result<(String, Vec<String>), String> {
        let face = Documented::read(self.package, documented)?;
        let behind = self.behind.iter().map(|package| Documented::read(package, documented));
        let behind: Vec<Documented> = behind.collect::<Result<_, _>>()?;
        let foreign = face.re_exports();
        let mut names = Names::default();
        for (definition, paths) in &foreign {
            let shortest = paths.iter().min_by_key(|path| (path.matches("::").count(), path.len()));
            names.known.extend(shortest.map(|path| (definition.clone(), path.clone())));
        }
        let exported: Vec<HashSet<u32>> = behind.iter().map(|other| other.learn(&mut names)).collect();
        names.roots = behind.iter().map(|other| other.root.clone()).collect();
        let text =
            format!("# The public API of {}, an item a line. Written by:\n# {WRITE}\n\n", self.package);
        let mut lines = Lines { text, ..Lines::default() };
        face.list(&names, |_| true, &mut lines);
        if !behind.is_empty() {
            lines.text.push_str("\n# What it re-exports of other crates, by the names that it has here.\n\n");
        }
        for (other, exported) in behind.iter().zip(exported) {
            other.list(&names, |id| exported.contains(&id), &mut lines);
        }
        Ok((lines.text, lines.unnamed))
    }
}

/// Has rustdoc write of all [`FACES`], and of what is behind them, what it knows. The folder in which it is then.
pub fn document() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("public-api");
    let mut cargo = Command::new("rustup");
    cargo.args(["run", TOOLCHAIN, "cargo", "doc", "--quiet", "--locked", "--no-deps", "--lib"]);
    cargo.args(["--features", FEATURES]);
    for face in FACES {
        for package in face.behind.iter().chain([&face.package]) {
            cargo.args(["--package", package]);
        }
    }
    // What is not run need not be fast: it is the C of zstd that this spares.
    cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0", "--target-dir"]).arg(&target);
    // What this process was built with is another toolchain's.
    for variable in ["RUSTC", "RUSTDOC", "RUSTFLAGS", "CARGO", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    cargo.env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json --cap-lints=allow");
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    process::run(&cargo, WITHIN).map_err(|error| error.to_string())?;
    Ok(target.join("doc"))
}

/// What rustdoc tells of a crate.
struct Documented {
    /// As paths begin.
    root: String,
    json: Value,
    api: PublicApi,
}

impl Documented {
    fn read(package: &str, documented: &Path) -> Result<Self, String> {
        let root = package.replace('-', "_");
        let file = documented.join(&root).with_extension("json");
        let told = |error: &dyn std::error::Error| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| told(&error))?;
        let json = serde_json::from_str(&text).map_err(|error| told(&error))?;
        let api = Builder::from_rustdoc_json(&file)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(true)
            .build()
            .map_err(|error| told(&error))?;
        Ok(Self { root, json, api })
    }

    /// Where items of other crates are defined, and the paths by which they are re-exported.
    fn re_exports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut modules = vec![(self.json["root"].to_string(), self.root.clone())];
        while let Some((module, path)) = modules.pop() {
            let items = self.json["index"][module]["inner"]["module"]["items"].as_array();
            for id in items.into_iter().flatten().map(Value::to_string) {
                let item = &self.json["index"][&id]["inner"];
                let used = &item["use"];
                if let (Some(name), Some(definition)) =
                    (used["name"].as_str(), self.definition(&used["id"].to_string(), false))
                {
                    found.entry(definition).or_default().insert(format!("{path}::{name}"));
                } else if !item["module"].is_null()
                    && let Some(name) = self.json["index"][&id]["name"].as_str()
                {
                    modules.push((id, format!("{path}::{name}")));
                }
            }
        }
        found
    }

    /// Where an item is defined, if that is in this crate, or if it is not.
    fn definition(&self, id: &str, here: bool) -> Option<String> {
        let told = &self.json["paths"][id];
        let path = told["path"].as_array().filter(|_| (told["crate_id"] == 0) == here)?;
        Some(path.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("::"))
    }

    /// Adds every path that this crate has for items whose users' names are known. Their ids.
    fn learn(&self, names: &mut Names) -> HashSet<u32> {
        let mut exported = HashSet::new();
        for item in self.api.items() {
            let id = item.id().0;
            let Some(definition) = self.definition(&id.to_string(), true) else { continue };
            if let Some(name) = names.known.get(&definition).cloned()
                && let Some((at, end)) = next_path(&item.to_string(), std::slice::from_ref(&self.root))
            {
                let path = item.to_string().get(at..end).unwrap_or_default().to_owned();
                names.known.insert(path, name);
                exported.insert(id);
            }
        }
        exported
    }

    /// Lists those of its items, and what belongs to them.
    fn list(&self, names: &Names, is_listed: impl Fn(u32) -> bool, lines: &mut Lines) {
        let parents: HashMap<u32, Option<u32>> =
            self.api.items().map(|item| (item.id().0, item.parent_id().map(|parent| parent.0))).collect();
        let lineage = |id: u32| std::iter::successors(Some(id), |id| parents.get(id).copied().flatten());
        // Traits that users cannot name, and what implements them.
        let mut hidden = HashSet::new();
        for item in self.api.items() {
            let (line, unnamed) = names.rename(&item.to_string());
            let id = item.id().0;
            if lineage(id).any(|id| hidden.contains(&id)) || !lineage(id).any(&is_listed) {
                continue;
            }
            match unnamed {
                Some(_) if line.starts_with("impl") => drop(hidden.insert(id)),
                _ if !lines.seen.insert(line.clone()) => {}
                unnamed => {
                    lines.unnamed.extend(unnamed.map(|name| format!("`{name}` in: {line}")));
                    lines.text.push_str(&line);
                    lines.text.push('\n');
                }
            }
        }
    }
}

/// What is listed.
#[derive(Default)]
struct Lines {
    text: String,
    seen: HashSet<String>,
    unnamed: Vec<String>,
}

/// The users' names of what lies behind their crate.
#[derive(Default)]
struct Names {
    /// By every path that it has there.
    known: HashMap<String, String>,
    /// How paths of the crates behind begin.
    roots: Vec<String>,
}

impl Names {
    /// The line in users' names, and the first that they have no name for.
    fn rename(&self, line: &str) -> (String, Option<String>) {
        let (mut renamed, mut rest, mut unnamed) = (String::new(), line, None);
        while let Some((at, end)) = next_path(rest, &self.roots) {
            let (before, path, after) = (&rest[..at], &rest[at..end], &rest[end..]);
            // The longest part of it that has a name: what follows is a method, or a variant.
            let mut parts = std::iter::successors(Some(path), |part| Some(part.rsplit_once("::")?.0));
            let named = parts.find_map(|part| Some((self.known.get(part)?, part.len())));
            renamed.push_str(before);
            match named {
                Some((name, end)) => renamed.extend([name, &path[end..]]),
                None => {
                    renamed.push_str(path);
                    unnamed.get_or_insert_with(|| path.to_owned());
                }
            }
            rest = after;
        }
        (renamed + rest, unnamed)
    }
}

/// Where the next path that begins with one of these begins and ends.
fn next_path(text: &str, roots: &[String]) -> Option<(usize, usize)> {
    let begins = |root: &String| {
        let whole = |at: &usize| !text[..*at].ends_with(is_of_a_path);
        text.match_indices(&format!("{root}::")).map(|(at, _)| at).find(whole)
    };
    let at = roots.iter().filter_map(begins).min()?;
    let length = text[at..].find(|c| !is_of_a_path(c)).unwrap_or(text.len() - at);
    // A path before a colon: `name: type`.
    let length = text[at..at + length].trim_end_matches(':').len();
    Some((at, at + length))
}

fn is_of_a_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// Why there is no listing on this machine: no such toolchain. Nothing here can install one.
pub fn toolchain() -> Result<(), String> {
    static TOLD: OnceLock<Result<(), String>> = OnceLock::new();
    let ask = || {
        let mut rustdoc = Command::new("rustup");
        rustdoc.args(["run", TOOLCHAIN, "rustdoc", "--version"]);
        process::run(&rustdoc, Duration::from_secs(60)).map(drop).map_err(|error| error.to_string())
    };
    TOLD.get_or_init(ask).clone()
}
