//! The page of `ottla serve`, in a real browser: what it shows as it happens, by keyboard alone, to those who see little, and
//! with no group, one, and a thousand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla_conformance::browser::{Browser, Key, View};
use ottla_conformance::targets::unique;
use ottla_conformance::wait::until;
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, create, equal, holds, member, numbers, poll_all, shares, wait};
use crate::served::{HOSTILE, Served, broker, commit};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // How soon something is seen depends on what else runs.
        Case::alone("embedded::a_browser_shows_a_stall_a_rebalance_and_a_chart_as_they_happen", live)
            .with_browser()
            .timed(),
        Case::alone("embedded::the_page_works_by_keyboard_alone", by_keyboard).with_browser(),
        Case::alone("embedded::axe_has_nothing_against_the_page_in_light_in_dark_and_on_a_phone", accessible)
            .with_browser(),
        Case::alone(
            "embedded::the_page_says_that_its_server_is_gone_and_goes_on_when_it_is_back",
            comes_back,
        )
        .with_browser(),
        Case::alone("embedded::pictures_of_the_page_with_no_group_one_and_a_thousand", pictures)
            .with_browser(),
    ]
}

const INTERVAL: Duration = Duration::from_millis(500);
/// For what no look has to be waited for.
pub(crate) const OFTEN: Duration = Duration::from_millis(200);

/// A browser at the page, which shows so many groups.
pub(crate) fn browse(served: &Served, groups: usize) -> Result<Browser, Failed> {
    let mut browser = Browser::start()?;
    browser.open(&served.url())?;
    browser.until("all groups", &format!("document.querySelectorAll('#groups tr').length === {groups}"))?;
    Ok(browser)
}

/// That the page's console has nothing, and that all it asked was its own server.
pub(crate) fn is_quiet(browser: &mut Browser, served: &Served) -> Outcome {
    equal("what the console has", browser.complaints(), Vec::new())?;
    let is_own = |url: &String| url.starts_with(&served.url()) || url.starts_with("data:");
    let (own, others): (Vec<String>, Vec<String>) = browser.requests().into_iter().partition(is_own);
    equal("requests to others", others, Vec::new())?;
    holds(&format!("it was asked: {own:?}"), own.len() > 3)
}

/// A text as a script has it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub(crate) fn opened(group: &str) -> String {
    let encoded: String = group.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("location.hash = '#/{encoded}'")
}

/// The names of the groups, as they are shown from top to bottom.
pub(crate) const ORDER: &str =
    "[...document.querySelectorAll('#groups th')].map((it) => it.textContent).join(' ')";

/// Notes when each text was first there, under `seen`.
const WATCH: &str = r##"
    window.seen = {};
    const look = () => {
        for (const row of document.querySelectorAll("#groups tr")) {
            const name = row.children[0].textContent, status = row.children[1].textContent;
            window.seen[name + " " + status] ??= Date.now();
        }
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    look();
"##;

fn live() -> Outcome {
    let target = broker()?;
    let (topic, group) = ("orders", unique("billing"));
    wait(async {
        create(&target, topic, 2).await?;
        numbers(&target, topic, 2, 0..20).await?;
        commit(&target, topic, &[(&group, 4)]).await
    })?;
    wait(async {
        let mut members = vec![member(&target, &group, topic).build().await?];
        let mut seen = Vec::new();
        poll_all(&mut members, &mut seen, "a share", |members, _| shares(members) == [2]).await?;
        let served = Served::start(&target, INTERVAL)?;
        let mut browser = browse(&served, 1)?;
        browser.eval(WATCH)?;

        // A stall: a member has the partitions, and commits nothing.
        let stalled = format!("window.seen[{}]", quoted(&format!("{group} STALL")));
        let shown = poll_for(&mut browser, &mut members, "the stall", &stalled).await?;
        let known = served.group(&group)?["status_since"].as_i64().ok_or("no time")?;
        let late = shown.as_i64().ok_or("no time")? - known;
        holds(
            &format!("shown {late} ms after the look that knew it"),
            late <= 2 * INTERVAL.as_millis() as i64,
        )?;

        // A chart: more is written, and nothing committed.
        browser.eval(&opened(&group))?;
        let line = "document.querySelector('#lag-chart polyline')?.getAttribute('points') ?? ''";
        let points = |line: &Value| -> Vec<String> {
            line.as_str().unwrap_or_default().split(' ').map(str::to_owned).collect()
        };
        browser.until("a line", line)?;
        let before = points(&browser.eval(line)?);
        numbers(&target, topic, 2, 20..40).await?;
        let more = "document.getElementById('lag-words').textContent.includes(': 16 now')";
        poll_for(&mut browser, &mut members, "a lag of 16, which was 6", more).await?;
        let after = points(&browser.eval(line)?);
        holds(&format!("{after:?} has more points than {before:?}"), after.len() > before.len())?;
        let height = |points: &[String]| {
            let last = points.last().and_then(|point| point.split_once(','));
            last.and_then(|(_, y)| y.parse::<f64>().ok()).unwrap_or(f64::NAN)
        };
        holds("the line rises", height(&after) < height(&after[..1]))?;
        // From above.
        holds("what was before is lower now", height(&after[..1]) > height(&before[..1]))?;

        // A rebalance: another member comes.
        members.push(member(&target, &group, topic).build().await?);
        let came = "document.getElementById('events').textContent.includes('1 member became 2')";
        let both = "document.querySelectorAll('#members tr').length === 2";
        let (start, mut known, mut shown) = (Instant::now(), None, None);
        poll_all(&mut members, &mut seen, "a rebalance that is shown", |members, _| {
            let told = served.group(&group).map(|group| group["member_count"] == 2).unwrap_or(false);
            if told && shares(members) == [1, 1] {
                known.get_or_insert_with(|| start.elapsed());
            }
            let is_shown = [came, both].iter().all(|it| browser.eval(it).is_ok_and(|it| it == true));
            if is_shown {
                shown.get_or_insert_with(|| start.elapsed());
            }
            known.is_some() && shown.is_some()
        })
        .await?;
        let late = shown.unwrap_or_default().saturating_sub(known.unwrap_or_default());
        holds(&format!("shown {late:?} after it was known"), late <= 2 * INTERVAL)?;
        is_quiet(&mut browser, &served)
    })
}

/// Waits for something on the page while members go on polling, as they would not be members else.
async fn poll_for(
    browser: &mut Browser,
    members: &mut [ottla::Consumer],
    what: &str,
    script: &str,
) -> Result<Value, Failed> {
    let mut found = Value::Null;
    poll_all(members, &mut Vec::new(), what, |_, _| {
        found = browser.eval(script).unwrap_or_default();
        !found.is_null() && found != false
    })
    .await
    .map_err(|failed| format!("{}; {}", failed.message().unwrap_or_default(), browser.text()))?;
    Ok(found)
}

/// What has the focus, in a few words, and whether that is to be seen.
const FOCUS: &str = r#"(() => {
    const it = document.activeElement, style = getComputedStyle(it);
    const name = it.id || it.getAttribute("aria-labelledby") || it.textContent.trim();
    return `${it.localName} ${name}${style.outlineStyle === "none" ? " unseen" : ""}`;
})()"#;

fn by_keyboard() -> Outcome {
    let target = broker()?;
    wait(async {
        create(&target, "orders", 1).await?;
        numbers(&target, "orders", 1, 0..10).await?;
        commit(&target, "orders", &[("alpha", 9), ("beta", 5), ("gamma", 7)]).await
    })?;
    let served = Served::start(&target, OFTEN)?;
    let mut browser = browse(&served, 3)?;
    // Nobody commits, which takes a while to be known, and is told below.
    let told = "document.querySelectorAll('#events li').length === 3 && document.querySelectorAll('#groups .STOP').length === 3";
    browser.until("that all have stopped", told)?;
    equal("the order", browser.eval(ORDER)?, "beta gamma alpha".into())?;

    let mut order = Vec::new();
    for _ in 0..24 {
        browser.press(Key::Tab)?;
        order.push(browser.eval(FOCUS)?.as_str().unwrap_or_default().to_owned());
        if order.last().is_some_and(|last| last == "a /metrics") {
            break;
        }
    }
    let mut expected = vec!["a To the groups", "input filter", "div groups-title"];
    let heads = ["Group", "Status", "Lag", "Time lag", "State", "Members", "Partitions", "Rebalances"];
    let heads: Vec<String> = heads.iter().map(|head| format!("button {head}")).collect();
    expected.extend(heads.iter().map(String::as_str));
    expected.extend(["a beta", "a gamma", "a alpha", "ol events"]);
    let events = order.iter().skip(expected.len()).take(3).cloned().collect::<Vec<_>>();
    expected.extend(events.iter().map(String::as_str));
    expected.extend(["a /api/groups", "a /api/lag", "a /api/status", "a /metrics"]);
    equal("what Tab comes to", order.iter().map(String::as_str).collect(), expected)?;

    // Sorted by what a heading is pressed for.
    let to = |browser: &mut Browser, what: &str| -> Outcome {
        let script = format!(
            "[...document.querySelectorAll('button, a, input')].find((it) => (it.id || it.textContent) === {})?.focus()",
            quoted(what)
        );
        browser.eval(&script)?;
        Ok(())
    };
    let sorted = "[...document.querySelectorAll('[aria-sort]')].map((it) => it.textContent + ' ' + it.ariaSort).join()";
    for (head, key, order, said) in [
        ("Group", Key::Enter, "alpha beta gamma", "Group ascending"),
        ("Group", Key::Space, "gamma beta alpha", "Group descending"),
        ("Lag", Key::Enter, "beta gamma alpha", "Lag descending"),
        ("Lag", Key::Enter, "alpha gamma beta", "Lag ascending"),
        ("Status", Key::Space, "beta gamma alpha", "Status descending"),
    ] {
        to(&mut browser, head)?;
        browser.press(key)?;
        equal(&format!("{head}, {key:?}"), browser.eval(ORDER)?, order.into())?;
        equal("what is said of it", browser.eval(sorted)?, said.into())?;
    }

    // Only those whose names have it.
    to(&mut browser, "filter")?;
    browser.type_text("AM")?;
    equal("what is left", browser.eval(ORDER)?, "gamma".into())?;
    let found = "document.getElementById('found').textContent";
    equal("what is said of it", browser.eval(found)?, "1 of 3 groups".into())?;
    browser.press(Key::Escape)?;
    equal("all of them", browser.eval(ORDER)?, "beta gamma alpha".into())?;
    equal("nothing is said", browser.eval(found)?, "".into())?;

    // Into a group, and out of it.
    to(&mut browser, "gamma")?;
    browser.press(Key::Enter)?;
    browser.until("the group is open", "!document.getElementById('detail').hidden")?;
    equal("the focus", browser.eval("document.activeElement.textContent")?, "gamma".into())?;
    equal("the title", browser.eval("document.title")?, "Ottla: gamma".into())?;
    browser.until("its partitions", "document.querySelectorAll('#partitions tr').length === 1")?;
    browser.press(Key::BackTab)?;
    equal("the focus", browser.eval(FOCUS)?, "a All groups".into())?;
    browser.press(Key::Enter)?;
    browser.until("all are there again", "!document.getElementById('all').hidden")?;
    equal("the focus", browser.eval(FOCUS)?, "a gamma".into())?;
    browser.press(Key::Enter)?;
    browser.until("the group is open", "!document.getElementById('detail').hidden")?;
    browser.press(Key::Escape)?;
    browser.until("all are there again", "!document.getElementById('all').hidden")?;
    equal("the focus", browser.eval(FOCUS)?, "a gamma".into())?;

    // Who is at a line stays at it when that moves.
    to(&mut browser, "alpha")?;
    wait(commit(&target, "orders", &[("alpha", 1)]))?;
    // It fell back, which is less bad than to have stopped, and has the largest lag.
    browser
        .until("it has moved", "document.querySelectorAll('#groups tr')[2].textContent.includes('REWIND')")?;
    to(&mut browser, "Lag")?;
    browser.press(Key::Enter)?;
    equal("the order", browser.eval(ORDER)?, "alpha beta gamma".into())?;
    to(&mut browser, "gamma")?;
    wait(commit(&target, "orders", &[("gamma", 0)]))?;
    browser.until("it has moved", &format!("{ORDER} === 'gamma alpha beta'"))?;
    equal("the focus", browser.eval(FOCUS)?, "a gamma".into())?;

    // Past all that comes before the main part.
    browser.eval("document.querySelector('.skip').focus()")?;
    browser.press(Key::Enter)?;
    equal("the focus", browser.eval("document.activeElement.id")?, "main".into())?;
    is_quiet(&mut browser, &served)
}

fn accessible() -> Outcome {
    let target = broker()?;
    wait(async {
        create(&target, "orders", 1).await?;
        numbers(&target, "orders", 1, 0..10).await?;
        commit(&target, "orders", &[("billing", 10), (HOSTILE, 5)]).await
    })?;
    let served = Served::start(&target, OFTEN)?;
    let mut browser = browse(&served, 2)?;
    browser.until("one has stopped", "document.querySelectorAll('#events li').length > 0")?;
    for hash in ["location.hash = ''", &opened("billing"), &opened(HOSTILE)] {
        browser.eval(hash)?;
        if hash.contains('%') {
            browser.until("its chart", "document.querySelector('#lag-chart polyline') !== null")?;
            browser.until("its partitions", "document.querySelectorAll('#partitions tr').length === 1")?;
        }
        for view in View::ALL {
            browser.view(view)?;
            equal(&format!("what axe has against {hash} in {view:?}"), browser.violations()?, Vec::new())?;
            let wide = browser.eval("document.documentElement.scrollWidth - innerWidth")?;
            holds(
                &format!("{hash} is too wide by {wide} in {view:?}"),
                wide.as_i64().is_some_and(|it| it <= 0),
            )?;
        }
    }
    // A name is a text and no markup, and does nothing to the line that it is in.
    equal("elements of a name", browser.eval("document.querySelectorAll('img').length")?, 0.into())?;
    let shown = browser.eval("document.getElementById('detail-name').textContent")?;
    equal("a name", shown, plain(HOSTILE).into())?;
    is_quiet(&mut browser, &served)
}

/// A name as the page shows it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('\n', "\\u{a}").replace('\u{1b}', "\\u{1b}").replace('\u{202e}', "\\u{202e}")
}

fn comes_back() -> Outcome {
    let target = broker()?;
    wait(async {
        create(&target, "orders", 1).await?;
        numbers(&target, "orders", 1, 0..10).await?;
        commit(&target, "orders", &[("billing", 4)]).await
    })?;
    let served = Served::start(&target, OFTEN)?;
    let mut browser = browse(&served, 1)?;
    let address = served.address.clone();
    drop(served);
    let says = "document.getElementById('problem')";
    let gone = format!("!{says}.hidden && {says}.textContent === 'ottla serve does not answer'");
    browser.until("that it is gone", &gone)?;
    equal("what was seen is still shown", browser.eval(ORDER)?, "billing".into())?;
    let served = Served::start_at(&target, OFTEN, &address)?;
    browser.until("that it is back", &format!("{says}.hidden"))?;
    wait(commit(&target, "orders", &[("later", 4)]))?;
    browser.until("what is new", "document.querySelectorAll('#groups tr').length === 2")?;
    browser
        .until("what happened", "document.getElementById('events').textContent.includes('later appeared')")?;
    drop(browser);
    until(PATIENCE, "that nobody reads any more", || {
        let told = served.get("/api/status", "").map(|(_, text)| text).unwrap_or_default();
        told.contains("\"event_readers\":0")
    })?;
    Ok(())
}

/// Whether each chart that is shown is drawn for the width that it has now.
const DRAWN: &str = r#"[...document.querySelectorAll("svg")].every((it) => {
    const width = Math.round(it.getBoundingClientRect().width);
    return width === 0 || it.viewBox.baseVal.width === width;
})"#;

/// The workspace's `target/page`.
fn gallery() -> Result<PathBuf, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("page");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn pictures() -> Outcome {
    let folder = gallery()?;
    let target = broker()?;
    let served = Served::start(&target, INTERVAL)?;
    let mut browser = browse(&served, 0)?;
    browser.until(
        "that there are none",
        "document.getElementById('found').textContent === 'There are no groups.'",
    )?;
    let mut taken = Vec::new();
    let mut take = |browser: &mut Browser, what: &str| -> Outcome {
        for view in View::ALL {
            browser.view(view)?;
            browser.until("charts of this width", DRAWN)?;
            let file = folder.join(format!("{what}-{}.png", view.name()));
            browser.picture(&file)?;
            taken.push(file);
        }
        browser.view(View::Light)?;
        Ok(())
    };
    take(&mut browser, "no-group")?;

    wait(async {
        create(&target, "orders", 3).await?;
        numbers(&target, "orders", 3, 0..30).await?;
        commit(&target, "orders", &[("billing", 4)]).await
    })?;
    browser.until("it", "document.querySelectorAll('#groups tr').length === 1")?;
    // A look sees each ten more.
    for n in 1..=8 {
        wait(numbers(&target, "orders", 3, n * 30..(n + 1) * 30))?;
        let lag = format!("document.querySelector('#groups .number').textContent === '{}'", n * 10 + 6);
        browser.until("more", &lag)?;
    }
    take(&mut browser, "one-group")?;
    browser.view(View::Phone)?;
    let is_in_sight =
        "document.querySelector('#groups .number').getBoundingClientRect().right <= window.innerWidth";
    equal("a phone shows the lag without being scrolled", browser.eval(is_in_sight)?, true.into())?;
    browser.view(View::Light)?;
    browser.eval(&opened("billing"))?;
    browser.until("its chart", "document.querySelector('#lag-chart polyline') !== null")?;
    take(&mut browser, "a-group")?;
    browser.eval("location.hash = ''")?;

    let names: Vec<String> = (1..1_000).map(|n| format!("service-{n:04}.consumer")).collect();
    let groups: Vec<(&str, i64)> = names.iter().zip(0..).map(|(name, n)| (name.as_str(), n % 91)).collect();
    wait(commit(&target, "orders", &groups))?;
    browser.until("all of them", "document.querySelectorAll('#groups tr').length === 1000")?;
    browser.until("that some have stopped", "document.querySelectorAll('#groups .STOP').length > 900")?;
    take(&mut browser, "a-thousand-groups")?;
    let took = browser.eval(
        "(() => { const begun = performance.now();
            document.querySelector('th button').click();
            document.body.getBoundingClientRect();
            return performance.now() - begun; })()",
    )?;
    println!("a thousand groups are sorted in {took} ms");
    equal(
        "the first by name",
        browser.eval("document.querySelector('#groups th').textContent")?,
        "billing".into(),
    )?;
    println!("{} pictures are in {}", taken.len(), folder.display());
    is_quiet(&mut browser, &served)
}
