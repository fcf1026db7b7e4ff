//! Which groups and offsets `ottla groups` deletes, beside Kafka's own tool on the same cluster.

use libtest_mimic::Failed;
use ottla::GroupProtocol;
use ottla_conformance::kafka::GroupTools;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::groups_shown::{joined, shown};
use crate::groups_staged::{commit, said};
use crate::kit::{admin, equal, holds, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("groups_and_offsets_are_deleted_as_by_kafkas_tool", |target| wait(deleted(target)))
            .with_java(),
    ]
}

/// Which of these groups Kafka's tool lists, and which ours does.
pub(crate) fn listed<const COUNT: usize>(
    target: &Target,
    tools: &mut GroupTools,
    groups: [&str; COUNT],
) -> Result<[[bool; COUNT]; 2], Failed> {
    let printed = tools.ask("consumer", &["--list"])?;
    let rows = shown(target, &["groups", "list"])?;
    let theirs = groups.map(|group| printed.out.iter().any(|line| line == group));
    Ok([theirs, groups.map(|group| rows.iter().any(|row| row["group"] == group))])
}

async fn deleted(target: &Target) -> Outcome {
    let (topic, beside) = (topic(target, "deleted", 3).await?, topic(target, "deleted-beside", 1).await?);
    let (admin, live) = (admin(target).await?, unique("deleted-live"));
    commit(&admin, &live, [((topic.as_str(), 0), 0), ((beside.as_str(), 0), 0)]).await?;
    // One for each tool.
    let groups = [unique("deleted-theirs"), unique("deleted-ours")];
    for group in &groups {
        commit(&admin, group, [((topic.as_str(), 0), 0)]).await?;
    }
    let member = joined(target, &live, &topic, GroupProtocol::Consumer).await?;
    let mut tools = GroupTools::start(&target.bootstrap())?;
    let groups = groups.each_ref().map(String::as_str);
    offsets(target, &mut tools, [groups, [&live; 2]], [&topic, &beside])?;
    // The last of its offsets is gone, and the group is not.
    equal("they are still there", listed(target, &mut tools, groups)?, [[true; 2]; 2])?;
    for group in groups {
        equal("their offsets are gone", shown(target, &["lag", group])?.len(), 0)?;
    }

    // Each by itself: one with a member, one that is not there, and one that goes.
    let ([theirs, ours], nobody) = (groups, unique("nobody"));
    let printed =
        tools.ask("consumer", &["--delete", "--group", &live, "--group", &nobody, "--group", theirs])?;
    let (status, out, noted) = said(target, &["groups", "delete", &live, &nobody, ours])?;
    equal("the statuses", (printed.status, status), (0, Some(1)))?;
    for (group, kafka, says) in [
        (&live, "GroupNotEmptyException", "NON_EMPTY_GROUP"),
        (&nobody, "GroupIdNotFoundException", "GROUP_ID_NOT_FOUND"),
    ] {
        let line = printed.out.iter().find(|line| line.contains(&format!("* Group '{group}'")));
        holds(&printed.all(), line.is_some_and(|line| line.contains(kafka)))?;
        let line = noted.lines().find(|line| line.contains(&format!("`{group}`")));
        holds(&noted, line.is_some_and(|line| line.contains(says)))?;
    }
    holds(&printed.all(), printed.all().contains(&format!("deleted successfully: '{theirs}'")))?;
    equal("ours", out, format!("deleted {ours}\n"))?;
    let left = listed(target, &mut tools, [&live, theirs, ours])?;
    equal("what is left", left, [[true, false, false]; 2])?;
    Ok(member.close().await?)
}

/// Where nobody is subscribed they go, also where there are none.
fn offsets(
    target: &Target,
    tools: &mut GroupTools,
    [idle, live]: [[&str; 2]; 2],
    [topic, beside]: [&str; 2],
) -> Outcome {
    let (none, nobody) = (unique("no-such"), unique("nobody"));
    let [committed, bare] = [format!("{topic}:0"), format!("{topic}:2")];
    for ([theirs, ours], topics, kafka, says) in [
        (idle, &[committed.as_str(), &bare][..], "Successful", "-2\n"),
        (live, &[beside], "Successful", ""),
        (live, &[topic], "GroupSubscribedToTopicException", "GROUP_SUBSCRIBED_TO_TOPIC"),
        // On purpose: docs/groups.md has it.
        (idle, &[bare.as_str(), &none], "Error", "no such topic"),
        ([nobody.as_str(); 2], &[topic], "The group id does not exist", "no such group"),
    ] {
        let named: Vec<&str> = topics.iter().flat_map(|topic| ["--topic", topic]).collect();
        let printed =
            tools.ask("consumer", &[&["--delete-offsets", "--group", theirs], &named[..]].concat())?;
        holds(&format!("{kafka}: {}", printed.all()), printed.all().contains(kafka))?;
        let (status, out, noted) =
            said(target, &[&["groups", "delete-offsets", "-G", ours], &named[..]].concat())?;
        let status_of = if kafka == "Successful" { 0 } else { 1 };
        holds(&format!("{named:?}: {status:?} {out} {noted}"), status == Some(status_of))?;
        holds(&format!("{says}: {out} {noted}"), format!("{out}{noted}").contains(says))?;
        equal("something was deleted", !out.is_empty(), status == Some(0))?;
        // Of a topic that is not there it tells, and goes on.
        let goes_on = kafka == "Successful" || topics.contains(&none.as_str());
        equal(&printed.all(), printed.all().contains("Successful"), goes_on)?;
    }
    Ok(())
}
