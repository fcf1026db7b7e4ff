//! A Chromium without a window, driven over the pipe of its DevTools protocol: what a page shows and does, what is pressed and
//! typed, and whether axe-core finds that somebody cannot use it.

#![expect(clippy::indexing_slicing, reason = "in JSON, what is not there is null")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kafka::{Missing, Unavailable};
use crate::npm;
use crate::process::Process;
use crate::targets::unique;
use crate::wait::until_some;

/// As Debian's package has it.
const PROGRAM: &str = "chromium";

/// It reads what it is told from its file 3, and answers into 4: here its standard input and output.
const PIPED: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// It asks nobody but the page's server, which alone has an address. Root, as in a container, has no sandbox there.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    // A container's has little room.
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// What npm is given.
const FILES: [(&str, &str); 2] = [
    ("package.json", include_str!("../axe/package.json")),
    ("package-lock.json", include_str!("../axe/package-lock.json")),
];

const START_WITHIN: Duration = Duration::from_secs(60);
/// For what a busy machine does in less than a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Whether it can be had here, and axe-core with it.
pub fn there() -> Result<(), Unavailable> {
    let version = Command::new(PROGRAM).arg("--version").output();
    version.map_err(|error| Missing { what: PROGRAM, why: error.to_string() })?;
    axe()?;
    Ok(())
}

/// The script of axe-core, fetched once.
fn axe() -> Result<PathBuf, Missing> {
    Ok(npm::fetched("axe", "axe-core", &FILES)?.join("node_modules/axe-core/axe.min.js"))
}

/// A key that is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// To what comes next.
    Tab,
    /// To what was before: Tab, with Shift.
    BackTab,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// The space bar.
    Space,
}

impl Key {
    /// Its name, its place on a keyboard, its number, what it types, and what is held down with it.
    fn told(self) -> (&'static str, &'static str, u32, Option<&'static str>, u32) {
        const SHIFT: u32 = 8;
        match self {
            Self::Tab => ("Tab", "Tab", 9, None, 0),
            Self::BackTab => ("Tab", "Tab", 9, None, SHIFT),
            Self::Enter => ("Enter", "Enter", 13, Some("\r"), 0),
            Self::Escape => ("Escape", "Escape", 27, None, 0),
            Self::Space => (" ", "Space", 32, Some(" "), 0),
        }
    }
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// On a desk, black on white.
    Light,
    /// On a desk, white on black.
    Dark,
    /// On a phone held upright, black on white.
    Phone,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Phone];

    /// In a file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Phone => "phone",
        }
    }
}

/// A running browser with one page, ended when dropped.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    profile: PathBuf,
    /// The page, once there is one.
    session: Option<String>,
    /// The number of what it was told last.
    last: u64,
    /// How many bytes of its answers are read.
    read: usize,
    answers: BTreeMap<u64, Value>,
    events: Vec<Value>,
}

impl Browser {
    /// Starts it, with an empty page.
    pub fn start() -> Result<Self, String> {
        let profile = std::env::temp_dir().join(unique("ottla-browser"));
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", PIPED, PROGRAM]).args(ARGUMENTS);
        shell.arg(format!("--user-data-dir={}", profile.display()));
        let process = Process::spawn_with_input(&shell).map_err(|error| format!("{PROGRAM}: {error}"))?;
        let (answers, events) = (BTreeMap::new(), Vec::new());
        let mut browser = Self { process, profile, session: None, last: 0, read: 0, answers, events };
        browser.call_within(START_WITHIN, "Browser.getVersion", json!({}))?;
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        // Also where it has no window, somebody looks at it.
        browser.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}))?;
        browser.view(View::Light)?;
        Ok(browser)
    }

    /// Goes to an address, and returns when what is there is loaded. What was told of the page before is forgotten.
    pub fn open(&mut self, url: &str) -> Result<(), String> {
        self.call("Page.navigate", json!({"url": "about:blank"}))?;
        self.until(
            "an empty page",
            r#"location.href === "about:blank" && document.readyState === "complete""#,
        )?;
        self.events.clear();
        let gone = self.call("Page.navigate", json!({"url": url}))?;
        if let Some(why) = gone["errorText"].as_str() {
            return Err(format!("{url}: {why}"));
        }
        let loaded = r#"location.href !== "about:blank" && document.readyState === "complete""#;
        self.until(&format!("{url} is loaded"), loaded).map(drop)
    }

    /// What an expression of JavaScript comes to in the page; a promise is waited for.
    pub fn eval(&mut self, script: &str) -> Result<Value, String> {
        let asked = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(format!("{script}: {thrown}")),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression of JavaScript comes to something else than `false`, `null`, `0` and `""`.
    pub fn until(&mut self, what: &str, script: &str) -> Result<Value, String> {
        let mut last = String::new();
        let waited = until_some(ANSWER_WITHIN, what, || match self.eval(script) {
            Ok(value) if is_so(&value) => Some(value),
            Ok(value) => {
                last = value.to_string();
                None
            }
            // Where a page is left while it is asked.
            Err(why) => {
                last = why;
                None
            }
        });
        waited.map_err(|late| format!("{late}: {last}; the page: {}", self.text()))
    }

    /// All that the page shows as text.
    pub fn text(&mut self) -> String {
        let text = self.eval("document.body?.innerText ?? ''");
        text.map_or_else(|why| why, |text| text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key, and lets it go.
    pub fn press(&mut self, key: Key) -> Result<(), String> {
        let (name, code, number, text, held) = key.told();
        let kind = if text.is_some() { "keyDown" } else { "rawKeyDown" };
        let mut event = json!({
            "type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": held,
        });
        if let Some(text) = text {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone())?;
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event).map(drop)
    }

    /// Types a text, a character after the other.
    pub fn type_text(&mut self, text: &str) -> Result<(), String> {
        for character in text.chars() {
            let character = character.to_string();
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": "keyDown", "key": character, "text": character}),
            )?;
            self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": character}))?;
        }
        Ok(())
    }

    /// Looks at the page so from now on.
    pub fn view(&mut self, view: View) -> Result<(), String> {
        let is_phone = view == View::Phone;
        let (width, height) = if is_phone { (360, 740) } else { (1_280, 900) };
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let scheme = if view == View::Dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media).map(drop)
    }

    /// Writes what is seen as a PNG.
    pub fn picture(&mut self, file: &Path) -> Result<(), String> {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap_or_default());
        let bytes = bytes.map_err(|error| format!("a picture: {error}"))?;
        fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// What axe-core has against the page as it is, by all of its rules.
    pub fn violations(&mut self) -> Result<Vec<String>, String> {
        let file = axe().map_err(|missing| missing.to_string())?;
        let script = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        self.eval(&format!("{script}\n;typeof axe"))?;
        let told = self.eval(
            r#"axe.run(document, { resultTypes: ["violations"], preload: false, rules: { "target-size": { enabled: true } } })
                .then((it) => it.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}: ${node.failureSummary}`)))"#,
        )?;
        let told: Option<Vec<String>> = serde_json::from_value(told).ok();
        told.ok_or_else(|| "axe-core tells nothing".to_owned())
    }

    /// What the page's console has of errors and warnings, and what its scripts threw, since it was opened.
    pub fn complaints(&mut self) -> Vec<String> {
        self.read();
        let is_bad = |event: &&Value| {
            let of = |name: &str| event["params"][name].as_str().unwrap_or_default().to_owned();
            match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => {
                    ["error", "warning", "assert"].contains(&of("type").as_str())
                }
                Some("Log.entryAdded") => {
                    let level = event["params"]["entry"]["level"].as_str();
                    level == Some("error") || level == Some("warning")
                }
                _ => false,
            }
        };
        self.events.iter().filter(is_bad).map(|event| event["params"].to_string()).collect()
    }

    /// The addresses that the page has asked since it was opened, itself among them.
    pub fn requests(&mut self) -> Vec<String> {
        self.read();
        let asked = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.filter_map(|event| event["params"]["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.call_within(ANSWER_WITHIN, method, parameters)
    }

    fn call_within(&mut self, within: Duration, method: &str, parameters: Value) -> Result<Value, String> {
        self.last += 1;
        let mut told = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            told["sessionId"] = session.as_str().into();
        }
        let told = format!("{told}\0");
        self.process.write(told.as_bytes()).map_err(|error| self.ended(method, &error.to_string()))?;
        let waited = until_some(within, method, || {
            self.read();
            let answer = self.answers.remove(&self.last).map(Ok);
            answer.or_else(|| (!self.process.is_running()).then_some(Err(())))
        });
        let mut answer = match waited {
            Ok(Ok(answer)) => answer,
            Ok(Err(())) => return Err(self.ended(method, "it has ended")),
            Err(late) => return Err(self.ended(method, &late.to_string())),
        };
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}")),
            None => Ok(answer["result"].take()),
        }
    }

    fn ended(&self, method: &str, why: &str) -> String {
        format!("{PROGRAM}: {method}: {why}: {}", self.process.stderr())
    }

    /// Takes what it has sent by now: texts, each with a zero behind it.
    fn read(&mut self) {
        let text = self.process.stdout_from(self.read);
        let Some((whole, _)) = text.rsplit_once('\0') else { return };
        self.read += whole.len() + 1;
        for message in whole.split('\0').filter_map(|text| serde_json::from_str::<Value>(text).ok()) {
            match message["id"].as_u64() {
                Some(id) => drop(self.answers.insert(id, message)),
                None => self.events.push(message),
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // One that hangs is killed.
        _ = self.call_within(Duration::from_secs(5), "Browser.close", json!({}));
        _ = self.process.wait(Duration::from_secs(5));
        self.process.kill();
        _ = fs::remove_dir_all(&self.profile);
    }
}

/// Whether JavaScript takes it for true.
fn is_so(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
