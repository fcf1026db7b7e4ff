//! Offsets that are moved through the page of `ottla serve`, in a real browser.

use std::fs;

use ottla_broker::{ApiKey, ErrorCode, Fault};
use ottla_conformance::browser::{Browser, Key, View};
use ottla_conformance::targets::Target;
use ottla_conformance::wait::until;

use crate::browsed::{OFTEN, ORDER, browse, is_quiet, opened, plain};
use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, admin, create, equal, holds, numbers, wait};
use crate::served::{Folder, HOSTILE, Served, broker, commit};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("embedded::a_group_is_moved_through_the_page_by_who_has_the_token", resets)
            .with_browser(),
    ]
}

const TOKEN: &str = "open-sesame-of-the-browser";

/// What asks for a plan to the end of the log, by keyboard: `#reset-token` has the focus, and is empty.
fn to_the_end(browser: &mut Browser, token: &str) -> Outcome {
    browser.eval(
        r#"(() => {
            const to = document.getElementById("reset-to");
            to.value = "to-latest";
            to.dispatchEvent(new Event("change", { bubbles: true }));
            document.getElementById("reset-token").value = "";
            document.getElementById("reset-token").focus();
        })()"#,
    )?;
    browser.type_text(token)?;
    browser.press(Key::Enter)?;
    Ok(())
}

fn resets() -> Outcome {
    let folder = Folder::new("ottla-token")?;
    let file = folder.0.join("token");
    fs::write(&file, TOKEN)?;
    let target = broker()?;
    wait(async {
        create(&target, "orders", 1).await?;
        numbers(&target, "orders", 1, 0..10).await?;
        commit(&target, "orders", &[("billing", 4), (HOSTILE, 5)]).await
    })?;
    let flags = ["--listen", "127.0.0.1:0", "--allow-writes", "--token-file"];
    let file = file.to_str().unwrap_or_default();
    let served = Served::start_with(&target, OFTEN, &[&flags[..], &[file]].concat())?;
    let mut browser = browse(&served, 2)?;
    let shown = |id: &str| format!("!document.getElementById('{id}').hidden");
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    let is_off = "document.getElementById('reset-go').disabled";
    for (group, name) in [("billing", "billing".to_owned()), (HOSTILE, plain(HOSTILE))] {
        browser.eval(&opened(group))?;
        browser.until("the form", &format!("{} && {}", shown("detail"), shown("reset")))?;
        to_the_end(&mut browser, TOKEN)?;
        browser.until("the plan", &shown("reset-do"))?;
        let row =
            "[...document.querySelectorAll('#reset-rows tr > *')].map((it) => it.textContent).join(' | ')";
        let from = if group == "billing" { 4 } else { 5 };
        let expected = format!("orders-0 | {from} | 10 | 0 to 10 | ");
        equal("what would be moved", browser.eval(row)?, expected.into())?;
        equal("the focus", browser.eval("document.activeElement.id")?, "reset-name".into())?;
        for view in View::ALL {
            browser.view(view)?;
            equal(&format!("what axe has against the form in {view:?}"), browser.violations()?, Vec::new())?;
            let wide = browser.eval("document.documentElement.scrollWidth - innerWidth")?;
            holds(&format!("it is too wide by {wide} in {view:?}"), wide.as_i64().is_some_and(|it| it <= 0))?;
        }
        browser.view(View::Light)?;
        // Who leaves it is back where he asked, in the same group.
        browser.press(Key::Escape)?;
        equal("the focus", browser.eval("document.activeElement.id")?, "reset-ask".into())?;
        equal("the plan is gone", browser.eval(&shown("reset-do"))?, false.into())?;
        browser.press(Key::Enter)?;
        browser.until("the plan", &shown("reset-do"))?;
        browser.type_text("billin")?;
        equal("by another name nothing is done", browser.eval(is_off)?, true.into())?;
        browser.press(Key::Enter)?;
        browser.eval("document.getElementById('reset-name').value = ''")?;
        browser.type_text(&name)?;
        equal("by its own it may be", browser.eval(is_off)?, false.into())?;
        browser.press(Key::Enter)?;
        browser.until("that it is moved", &format!("{} === '1 partition moved.'", text("reset-said")))?;
        until(PATIENCE, "the end", || served.group(group).is_ok_and(|group| group["lag"] == 0))?;
    }
    let kept = "document.cookie + localStorage.length + sessionStorage.length";
    equal("what the browser keeps", browser.eval(kept)?, "00".into())?;
    is_quiet(&mut browser, &served)?;

    // Of what is refused the browser itself has a line in its console.
    to_the_end(&mut browser, "open-sesame-of-another")?;
    browser.until(
        "that it is refused",
        &format!("{} && {} === 'a wrong token'", shown("reset-wrong"), text("reset-wrong")),
    )?;
    equal("no plan is shown", browser.eval(&shown("reset-do"))?, false.into())?;
    let complaints = browser.complaints();
    holds(
        &format!("{complaints:?}"),
        complaints.len() == 1 && complaints.iter().all(|it| it.contains("401")),
    )?;
    moves_in_part(&target, &mut browser)
}

/// A plan of more rows than are shown, every other of which is refused.
fn moves_in_part(target: &Target, browser: &mut Browser) -> Outcome {
    let (group, partitions) = ("wide", 502);
    wait(async {
        create(target, group, partitions).await?;
        let beyond = (0..partitions).map(|partition| ((group, partition), 5));
        admin(target)
            .await?
            .alter_offsets(group, beyond)
            .await?
            .into_values()
            .collect::<Result<Vec<_>, _>>()?;
        Ok(())
    })?;
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    browser.until("the group", &format!("{ORDER}.includes('{group}')"))?;
    browser.eval(&opened(group))?;
    browser.until("the group is open", &format!("{} === '{group}'", text("detail-name")))?;
    to_the_end(browser, TOKEN)?;
    browser.until("the plan", "!document.getElementById('reset-do').hidden")?;
    let said = browser.eval(&text("reset-said"))?;
    let said = said.as_str().unwrap_or_default();
    holds(
        said,
        said.starts_with("502 partitions would be moved;") && said.ends_with("The first 500 are below."),
    )?;
    equal("the rows", browser.eval("document.querySelectorAll('#reset-rows tr').length")?, 500.into())?;

    let Target::Embedded(broker) = target else { return Err("no embedded broker".into()) };
    let refused = Fault::ErrorInSome(ErrorCode::TopicAuthorizationFailed);
    broker.server().with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetCommit).then(refused));
    browser.type_text(group)?;
    browser.press(Key::Enter)?;
    browser.until("what came of it", "!document.getElementById('reset-wrong').hidden")?;
    let said = browser.eval(&text("reset-wrong"))?;
    let said = said.as_str().unwrap_or_default();
    let begin = "251 partitions moved; not: ";
    let end = "; and 246 more, each with its reason on stderr of ottla serve";
    holds(said, said.starts_with(begin) && said.ends_with(end))?;
    // Five of them are named.
    let named = |partition: i32| said.contains(&format!("partition {group}-{partition}: "));
    let named: Vec<i32> = (0..partitions).filter(|partition| named(*partition)).collect();
    equal("which are named", named, vec![1, 3, 5, 7, 9])?;
    equal("what axe has against it", browser.violations()?, Vec::new())?;
    let committed = wait(async { Ok(admin(target).await?.committed_offsets(group).await?) })?;
    let moved = committed.iter().filter(|(at, committed)| at.partition % 2 == 0 && committed.offset == 0);
    equal("what is committed", moved.count(), 251)?;
    let stayed = committed.iter().filter(|(at, committed)| at.partition % 2 == 1 && committed.offset == 5);
    equal("what is committed as it was", stayed.count(), 251)?;
    let complaints = browser.complaints();
    let is_of_both = complaints.len() == 2 && complaints.last().is_some_and(|it| it.contains("409"));
    holds(&format!("{complaints:?}"), is_of_both)
}
