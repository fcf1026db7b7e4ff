//! Wrong usage: what clap says in one line, what a habit of other tools is called here, and the verb's help.

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Command, CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{args::Cli, failure::Failure};

/// What kcat's and Kafka's own tools call otherwise, and what to type here.
const HABITS: &[(&[&str], &str)] = &[
    (&["-t", "--topic", "--topics"], "topics are named without a flag here: TOPIC"),
    (&["-C"], "reading is `ottla consume TOPIC`"),
    (&["-G"], "reading as a member of a group is `ottla consume TOPIC -G GROUP`"),
    (&["-P"], "writing is `ottla produce TOPIC`"),
    (&["-L"], "what there is: `ottla topics describe`, and of brokers `ottla cluster`"),
    (&["-M"], "a broker without a cluster: `ottla broker --brokers N`"),
    (&["-Q"], "the offset of a time: `ottla topics offsets TOPIC:PARTITION:MS`"),
    (&["--from-beginning"], "without -G that is the default; with it, -o beginning"),
    (&["--bootstrap-server", "--broker-list", "--brokers"], "here it is -b HOST:PORT"),
    (&["--max-messages"], "here it is -c COUNT"),
    (&["--partition", "--partitions"], "here it is -p N"),
    (&["--replication-factor"], "here it is -r N"),
    (&["--config"], "a topic's setting is -c KEY=VALUE; a file for the client --config FILE"),
    (&["--offset"], "here it is -o OFFSET"),
    (&["--timeout-ms"], "-e ends at the end"),
    (&["--list"], "`ottla topics list`, or `ottla groups list`"),
    (&["--describe"], "`ottla topics describe`, or `ottla groups describe`; lag is `ottla lag`"),
    (&["--create"], "`ottla topics create TOPIC -p N`"),
    (&["--delete"], "`ottla topics delete TOPIC`"),
    (&["--all-groups"], "`ottla lag` without a name shows all groups"),
    (&["--all-topics"], "leave it out: all are shown"),
    (&["--reset-offsets"], "`ottla groups reset-offsets -G GROUP`"),
    (&["--delete-offsets"], "`ottla groups delete-offsets -G GROUP -t TOPIC`"),
    (&["--members"], "`ottla groups describe` shows them; epochs and targets with --verbose"),
    (&["--offsets"], "`ottla lag` shows them"),
    (
        &["--property", "--consumer-property", "--producer-property", "--command-property"],
        "a client's property is -X KEY=VALUE",
    ),
    (
        &[
            "--consumer.config",
            "--producer.config",
            "--command-config",
            "--consumer-config",
            "--producer-config",
            "-F",
        ],
        "a file of properties is --config FILE",
    ),
];

/// Tells what is wrong with the arguments, or what they ask clap for, and turns into the process's status.
pub(crate) fn exit(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        drop(error.print());
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let more = match habit(error) {
        Some(habit) => format!("; {habit}"),
        None => suggestion(error).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default(),
    };
    let status = Failure::usage(format!("{what}{more}")).exit();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    eprint!("\n{}", verb(Cli::command(), &arguments).render_help());
    status
}

/// What to type here for a flag, or a verb, that is not there.
fn habit(error: &clap::Error) -> Option<&'static str> {
    let wrong = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter();
    let wrong = wrong.filter_map(|kind| error.get(kind)).find_map(|value| match value {
        ContextValue::String(text) => Some(text.as_str()),
        _ => None,
    })?;
    let name = wrong.split(['=', ' ']).next()?;
    HABITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, what)| *what)
}

/// The nearest name that there is. That a flag might be meant as a value helps nobody here.
fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    kinds.into_iter().filter_map(|kind| error.get(kind)).find_map(|value| match value {
        ContextValue::String(name) => Some(name.clone()),
        ContextValue::Strings(names) => names.first().cloned(),
        _ => None,
    })
}

/// The verb that the arguments name, as far as they do.
fn verb(mut command: Command, arguments: &[OsString]) -> Command {
    command.build();
    for argument in arguments {
        let found = argument.to_str().and_then(|name| command.find_subcommand(name));
        if let Some(found) = found {
            command = found.clone();
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn habits_of_other_tools_are_answered_with_what_to_type_here() {
        for (words, says) in [
            (&["ottla", "-C", "-t", "x"][..], "ottla consume"),
            (&["ottla", "-b", "a:1", "-C", "-t", "x"], "ottla consume"),
            (&["ottla", "consume", "-C", "-t", "x"], "ottla consume"),
            (&["ottla", "-G", "g", "x"], "-G GROUP"),
            (&["ottla", "-P", "-t", "x"], "ottla produce"),
            (&["ottla", "-L"], "topics describe"),
            (&["ottla", "-L", "-J"], "topics describe"),
            (&["ottla", "-Q", "-t", "x:0:1"], "ottla topics offsets"),
            (&["ottla", "process", "-t", "x"], "without a flag"),
            (&["ottla", "topics", "describe", "--topic=x"], "without a flag"),
            (&["ottla", "consume", "x", "--from-beginning"], "-o beginning"),
            (&["ottla", "topics", "--bootstrap-server", "a:1", "list"], "-b HOST:PORT"),
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            let told = habit(&error).unwrap_or_else(|| panic!("{words:?}: {error}"));
            assert!(told.contains(says), "{words:?}: {told}");
        }
    }

    #[test]
    fn the_help_is_that_of_the_verb() {
        let of = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            verb(Cli::command(), &words).get_name().to_owned()
        };
        assert_eq!(of(&["topics", "create", "--nope"]), "create");
        assert_eq!(of(&["consume", "lag"]), "consume");
        assert_eq!(of(&["--nope"]), "ottla");
    }
}
