//! `ottla doctor`: why something does not work, and what to do about it. It looks, and changes nothing.
//!
//! In this order, as each needs what is before it: addresses ([`reach`]), what brokers speak ([`versions`]), topics ([`topics`]),
//! then groups ([`groups`]) and clocks ([`clock`]), which are looked at several times. Each finding is told as soon as it is known;
//! who stops it before the last look is told what the looks so far show.

mod advice;
mod clock;
mod explained;
mod finding;
mod groups;
mod kind;
mod probe;
mod reach;
mod topics;
mod versions;

use std::time::Duration;

use ottla::{Admin, AdminBuilder, admin::Cluster, error::AdminError};

use self::{
    clock::Clocks,
    explained::Explained,
    finding::{Finding, Kind, Report},
    groups::Groups,
    reach::{Reached, reach},
};
use crate::{
    args::{Common, DoctorArgs},
    common::Clients,
    failure::{Failure, missing, tell},
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
    let mut course = Course::new(args.groups.clone());
    let (done, is_stopped) = tokio::select! {
        () = stop.requested() => (Ok(()), true),
        done = async {
            let done = examine(args, common, &builder, &admin, &mut report, &mut course).await;
            // It takes no broker. After the looks: who stands has stood for as long by then.
            course.explained = Explained::ask(&args.explain).await;
            done
        } => (done, false),
    };
    admin.close().await;
    done?;
    let left = is_stopped.then(|| course.left(args.looks));
    course.tell(&mut report)?;
    let Some(left) = left else { return report.end() };
    report.add(Finding::new(Kind::NotAsked, left.as_str()))?;
    report.end()?;
    Err(Failure::failed(left))
}

/// How far it has come, and what was seen on the way: so much is told, however it ends.
#[derive(Debug)]
struct Course {
    cluster: Option<Cluster>,
    versions: bool,
    looks: u32,
    groups: Groups,
    clocks: Clocks,
    /// What was found of topics, and of transactions that hold groups back; nothing where these were not asked.
    topics: Option<Vec<Finding>>,
    transactions: Option<Vec<Finding>>,
    /// What members' own processes have told.
    explained: Explained,
}

impl Course {
    fn new(groups: Vec<String>) -> Self {
        Self {
            cluster: None,
            versions: false,
            looks: 0,
            groups: Groups::new(groups),
            clocks: Clocks::default(),
            topics: None,
            transactions: None,
            explained: Explained::default(),
        }
    }

    /// What was not asked, of so many looks.
    fn left(&self, looks: u32) -> String {
        let parts = [
            ("addresses", self.cluster.is_some()),
            ("versions", self.versions),
            ("groups and clocks", self.looks > 0),
            ("topics", self.topics.is_some()),
            ("transactions", self.transactions.is_some()),
        ];
        let left: Vec<&str> = parts.into_iter().filter(|(_, done)| !done).map(|(part, _)| part).collect();
        format!("stopped after {} of {looks} looks; not asked: {}", self.looks, left.join(", "))
    }

    /// Tells what was seen of all that takes several looks.
    fn tell(self, report: &mut Report) -> Result<(), Failure> {
        let mut findings = Vec::new();
        if let Some(cluster) = self.cluster.filter(|_| self.looks > 0) {
            report.add_all(self.clocks.findings(&cluster))?;
            report.add_all(self.topics.unwrap_or_default())?;
            findings = self.groups.findings(self.transactions);
        }
        self.explained.quote(&mut findings);
        report.add_all(findings)
    }
}

async fn examine(
    args: &DoctorArgs,
    common: &Common,
    builder: &AdminBuilder,
    admin: &Admin,
    report: &mut Report,
    course: &mut Course,
) -> Result<(), Failure> {
    let Some(reached) = reach(builder, args.patience, report).await? else {
        return report.add(Finding::new(
            Kind::NotAsked,
            "no broker can be asked: versions, topics, groups and clocks are not looked at",
        ));
    };
    // Which of two clusters one client of both asks is chance.
    let of_one = match &reached.own {
        Some(own) => {
            Some(builder.clone().bootstrap_servers(own.clone()).wait_for_broker(false).build().await?)
        }
        None => None,
    };
    let asked = of_one.as_ref().unwrap_or(admin);
    let done = told(|| asked.explain(), ask(args, common, asked, reached, report, course)).await;
    if let Some(of_one) = of_one {
        of_one.close().await;
    }
    done
}

async fn ask(
    args: &DoctorArgs,
    common: &Common,
    admin: &Admin,
    reached: Reached,
    report: &mut Report,
    course: &mut Course,
) -> Result<(), Failure> {
    course.cluster = Some(reached.cluster);
    report.add_all(versions::examine(admin, &reached.brokers).await)?;
    course.versions = true;
    for look in 1..=args.looks {
        course.groups.look(admin).await;
        course.clocks.look(admin, course.groups.topics()).await;
        course.looks = look;
        // Nothing that could move.
        if course.groups.is_empty() && course.clocks.is_blind() || look == args.looks {
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
    course.groups.read(common).await;
    course.topics = Some(topics::examine(admin, course.groups.wanted_topics()).await);
    course.transactions = Some(course.groups.transactions(admin).await);
    Ok(())
}

/// What is to be told of a question that was refused, or not answered.
fn refused(error: &AdminError) -> Finding {
    let finding = match error.missing_permission() {
        Some(permission) => Finding::new(Kind::Permission, missing(&permission)),
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
