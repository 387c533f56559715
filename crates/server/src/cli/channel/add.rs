//! `postrider channel add PROVIDER`: a subcommand for each provider, made from its SPEC; and `add URL`, for channels
//! that are pasted as one URL.

use clap::{Arg, ArgMatches, Command};
use providers::Spec;
use serde_json::{Map, Value, json};

use super::fields;
use super::shape::Shape;
use crate::cli::client::wire::Channel;
use crate::cli::client::{Client, path};
use crate::cli::exit::{Ended, Exit, Failure};
use crate::cli::input::value;
use crate::cli::output::{print, print_json, remark};

/// What says where the channel leads, and what it is to be.
#[derive(Debug)]
pub(super) enum Add {
    Provider { provider: &'static str, name: String, options: Options, fields: Vec<String> },
    Url { url: String, name: Option<String>, options: Options },
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    shape: Shape,
    /// Make it switched off
    #[arg(long)]
    off: bool,
}

#[derive(Debug, clap::Args)]
struct OfProvider {
    /// What people call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    options: Options,
    /// What the provider wants to know; see below
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct OfUrl {
    /// What people call it; by default what the provider is called
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// The argument that is no provider's name. Not `url`, which is where the server is.
const PASTED: &str = "pasted";

fn specs() -> impl Iterator<Item = &'static Spec> {
    providers::all().iter().map(|provider| provider.spec())
}

impl clap::Args for Add {
    fn augment_args(command: Command) -> Command {
        let of_provider = |spec: &'static Spec| {
            let about = format!("Make a channel of the kind {}", spec.title);
            <OfProvider as clap::Args>::augment_args(
                Command::new(spec.name).about(about).after_help(fields::help(spec)),
            )
        };
        let forms = providers::all().iter().flat_map(|provider| provider.pasted());
        let shown: Vec<String> = forms.map(|form| format!("  {}", form.shown)).collect();
        let url = Arg::new(PASTED)
            .value_name("URL")
            .help("A channel as Apprise writes it; @FILE reads it from a file")
            .required(true);
        <OfUrl as clap::Args>::augment_args(command.arg(url))
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
            .arg_required_else_help(true)
            .after_help(format!("URLs that are understood:\n{}", shown.join("\n")))
            .subcommands(specs().map(of_provider))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Add {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let Some((provider, matches)) = matches.subcommand() else {
            let OfUrl { name, options } = OfUrl::from_arg_matches(matches)?;
            let url = matches.get_one::<String>(PASTED).cloned().ok_or_else(missing)?;
            return Ok(Self::Url { url, name, options });
        };
        let spec = specs().find(|spec| spec.name == provider).ok_or_else(missing)?;
        let OfProvider { name, options, fields } = OfProvider::from_arg_matches(matches)?;
        Ok(Self::Provider { provider: spec.name, name, options, fields })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) async fn add(client: &Client, add: &Add, is_json: bool) -> Ended {
    let asked = add.channel()?;
    let answer = client.post(&path(&["v1", "channels"]), &asked).await?;
    if is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let made: Channel = answer.read()?;
    print(&format!("Channel {0} is there; 'postrider channel test {0}' sends it a first notification.", made.id))?;
    if let Add::Provider { provider, .. } = add {
        tell_what_was_made(spec_of(provider)?, &asked, &made)?;
    }
    super::warn(&made);
    Ok(Exit::Ok)
}

fn spec_of(provider: &str) -> Result<&'static Spec, Failure> {
    let unknown = || Failure::usage(format!("there is no provider {provider:?}"));
    providers::find(provider).map(providers::Provider::spec).ok_or_else(unknown)
}

impl Add {
    /// The channel as the API takes it.
    fn channel(&self) -> Result<Map<String, Value>, Failure> {
        let (Self::Provider { options, .. } | Self::Url { options, .. }) = self;
        let mut channel = options.shape.fields()?;
        if options.off {
            channel.insert("is_active".to_owned(), json!(false));
        }
        match self {
            Self::Provider { provider, name, fields: given, .. } => {
                let spec = spec_of(provider)?;
                let config = fields::config(spec, given)?;
                fields::check_complete(spec, &config)?;
                channel.insert("name".to_owned(), json!(name));
                channel.insert("provider".to_owned(), json!(provider));
                channel.insert("config".to_owned(), Value::Object(config));
            }
            Self::Url { url, name, .. } => {
                channel.extend(name.iter().map(|name| ("name".to_owned(), json!(name))));
                channel.insert("url".to_owned(), json!(value(url)?));
            }
        }
        Ok(channel)
    }
}

/// Shows secrets that the server made, which no other answer does.
fn tell_what_was_made(spec: &Spec, asked: &Map<String, Value>, made: &Channel) -> Result<(), Failure> {
    for field in spec.fields.iter().filter(|field| field.secret) {
        let was_given = asked["config"].get(field.key).is_some_and(|value| !value.is_null());
        if let (false, Some(text)) = (was_given, made.config.get(field.key).and_then(Value::as_str)) {
            remark(&format!("Its {} was made for you. It is shown this once, so keep it:", field.key));
            print(text)?;
        }
    }
    Ok(())
}
