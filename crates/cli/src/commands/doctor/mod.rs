//! `ottla doctor`: why something does not work, and what to do about it. It looks, and changes nothing.
//!
//! In this order, as each needs what is before it: addresses ([`reach`]), what brokers speak ([`versions`]), topics ([`topics`]),
//! then groups ([`groups`]) and clocks ([`clock`]), which are looked at several times. Each finding is told as it comes.

mod clock;
mod finding;
mod groups;
mod probe;
mod reach;
mod topics;
mod versions;

use std::time::Duration;

use ottla::{Admin, AdminBuilder, error::AdminError};

use self::{
    finding::{Finding, Kind, Report},
    reach::{Reached, reach},
};
use crate::{
    args::{Common, DoctorArgs},
    common::Clients,
    failure::{Failure, tell},
    signals::Stop,
    waiting::told,
};

/// What takes longer says so.
const LONG: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &DoctorArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    let mut report = Report::new(common.is_json());
    let builder = Clients::new(common)?.admin()?;
    // A configuration that cannot be is wrong usage, before anything is tried.
    let admin = builder.clone().wait_for_broker(false).build().await?;
    let done = tokio::select! {
        () = stop.requested() => Ok(()),
        done = examine(args, &builder, &admin, &mut report) => done,
    };
    admin.close().await;
    done?;
    report.end()
}

async fn examine(
    args: &DoctorArgs,
    builder: &AdminBuilder,
    admin: &Admin,
    report: &mut Report,
) -> Result<(), Failure> {
    let Some(reached) = reach(builder, args.patience, report).await? else {
        return report.add(Finding::new(
            Kind::NotAsked,
            "no broker can be asked: versions, topics, groups and clocks are not looked at",
        ));
    };
    told(|| admin.explain(), ask(args, admin, &reached, report)).await
}

async fn ask(
    args: &DoctorArgs,
    admin: &Admin,
    reached: &Reached,
    report: &mut Report,
) -> Result<(), Failure> {
    report.add_all(versions::examine(admin, &reached.brokers).await)?;
    let mut groups = groups::Groups::new(args.groups.clone());
    let mut clock = clock::Clocks::default();
    for look in 1..=args.looks {
        groups.look(admin).await;
        clock.look(admin, groups.topics()).await;
        // Nothing that could move.
        if groups.is_empty() && clock.is_blind() || look == args.looks {
            break;
        }
        if look == 1 && args.interval.checked_mul(args.looks).is_none_or(|all| all >= LONG) {
            let (looks, interval) = (args.looks, args.interval);
            tell(format!(
                "waiting: {looks} looks at groups and clocks, {interval:?} apart; --looks 1 looks once"
            ));
        }
        tokio::time::sleep(args.interval).await;
    }
    report.add_all(clock.findings(&reached.cluster))?;
    report.add_all(topics::examine(admin, groups.wanted_topics()).await)?;
    report.add_all(groups.findings(admin).await)
}

/// What is to be told of a question that was refused, or not answered.
fn refused(error: &AdminError) -> Finding {
    let finding = match error.missing_permission() {
        Some(missing) => Finding::new(Kind::Permission, format!("{missing} is missing")),
        None => Finding::new(Kind::NotAnswered, format!("{error:#}")),
    };
    let context = error.context();
    let finding = match (&context.partition, &context.topic) {
        (Some(at), _) => finding.partition(at),
        (None, Some(topic)) => finding.topic(topic),
        (None, None) => finding,
    };
    match &context.group {
        Some(group) => finding.group(group),
        None => finding,
    }
}
