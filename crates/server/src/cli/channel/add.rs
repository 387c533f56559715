//! `postrider channel add PROVIDER`: a subcommand for each provider, made from its SPEC.

use clap::{ArgMatches, Args as _, Command};
use providers::Spec;
use serde_json::{Value, json};

use super::fields;
use super::shape::Shape;
use crate::cli::client::wire::Channel;
use crate::cli::client::{Client, path};
use crate::cli::exit::{Ended, Exit, Failure};
use crate::cli::output::{print, print_json, remark};

/// A provider, and what its channel is to be.
#[derive(Debug)]
pub(super) struct Add {
    provider: &'static str,
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// What people call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    shape: Shape,
    /// Make it switched off
    #[arg(long)]
    off: bool,
    /// What the provider wants to know; see below
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
}

fn specs() -> impl Iterator<Item = &'static Spec> {
    providers::all().iter().map(|provider| provider.spec())
}

impl clap::Subcommand for Add {
    fn augment_subcommands(command: Command) -> Command {
        let of_provider = |spec: &'static Spec| {
            let about = format!("Make a channel of the kind {}", spec.title);
            Options::augment_args(Command::new(spec.name).about(about).after_help(fields::help(spec)))
        };
        command.subcommand_required(true).arg_required_else_help(true).subcommands(specs().map(of_provider))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        specs().any(|spec| spec.name == name)
    }
}

impl clap::FromArgMatches for Add {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let spec = specs().find(|spec| spec.name == name).ok_or_else(missing)?;
        Ok(Self { provider: spec.name, options: Options::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) async fn add(client: &Client, add: &Add, is_json: bool) -> Ended {
    let Add { provider, options } = add;
    let spec = providers::find(provider).map(providers::Provider::spec);
    let spec = spec.ok_or_else(|| Failure::usage(format!("there is no provider {provider:?}")))?;
    let config = fields::config(spec, &options.fields)?;
    fields::check_complete(spec, &config)?;
    let mut channel = options.shape.fields()?;
    channel.insert("name".to_owned(), json!(options.name));
    channel.insert("provider".to_owned(), json!(provider));
    channel.insert("config".to_owned(), Value::Object(config));
    if options.off {
        channel.insert("is_active".to_owned(), json!(false));
    }
    let answer = client.post(&path(&["v1", "channels"]), &channel).await?;
    if is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let made: Channel = answer.read()?;
    print(&format!("Channel {0} is there; 'postrider channel test {0}' sends it a first notification.", made.id))?;
    tell_what_was_made(spec, &channel, &made)?;
    super::warn(&made);
    Ok(Exit::Ok)
}

/// Shows secrets that the server made, which no other answer does.
fn tell_what_was_made(spec: &Spec, asked: &serde_json::Map<String, Value>, made: &Channel) -> Result<(), Failure> {
    for field in spec.fields.iter().filter(|field| field.secret) {
        let was_given = asked["config"].get(field.key).is_some_and(|value| !value.is_null());
        if let (false, Some(text)) = (was_given, made.config.get(field.key).and_then(Value::as_str)) {
            remark(&format!("Its {} was made for you. It is shown this once, so keep it:", field.key));
            print(text)?;
        }
    }
    Ok(())
}
