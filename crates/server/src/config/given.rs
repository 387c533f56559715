//! What was given, and by whom: settings as names and texts, before anything is made of them.
//!
//! Four layers, each stronger than the one before: the defaults, the settings file, `POSTRIDER_...` variables, flags.
//! The defaults are also the list of the names that there are; a name outside it is refused wherever it stands, with
//! the nearest one suggested. What a text means is [`super::read`]'s business.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value as Toml};

use super::{DEFAULTS, SettingError};

/// The settings whose value is never shown. Each can also be given as the path of a file that holds it: its name with
/// `_file` at the end.
pub(super) const SECRETS: &[&str] = &["admin_key", "database_password", "database_url", "otel.headers", "smtp.url"];

/// Variables with our prefix that are no settings: those of the commands that talk to a server, receive, or look at the
/// mail server (`postrider doctor`).
const OTHER_VARIABLES: &[&str] =
    &["POSTRIDER_URL", "POSTRIDER_KEY", "POSTRIDER_TENANT", "POSTRIDER_CONFIG", "POSTRIDER_RECEIVE_SECRET"];

/// What every variable of ours begins with.
const PREFIX: &str = "POSTRIDER_";

/// The file that is used when none is named and it is there.
const FILE_DEFAULT: &str = "postrider.toml";

/// The end of a name that stands for the path of a file with a secret.
const FILE_SUFFIX: &str = "_file";

/// The value of a setting as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
}

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, key: String },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, key } => write!(f, "file {}, {key}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Source {
    /// The name of a setting as this source would spell it.
    fn spell(&self, name: &str) -> String {
        match self {
            Self::Variable(_) => format!("{PREFIX}{}", name.replace('.', "__").to_uppercase()),
            Self::Default | Self::File { .. } | Self::Flag(_) => name.to_owned(),
        }
    }
}

/// A value and who gave it.
#[derive(Clone)]
pub(super) struct Given {
    pub value: Value,
    pub source: Source,
}

/// A setting by a flag of the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As it was written, without its value.
    pub flag: String,
    /// The setting's name, like `delivery.in_flight_max`.
    pub name: String,
    pub value: String,
}

/// Everything outside the binary that says something about settings.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The settings file that the command line names.
    pub file: Option<PathBuf>,
    /// The variables of the process.
    pub variables: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

impl Sources {
    /// Those of this process, with what the command line said.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            // What is no text is no setting of any kind; it is refused by its type, not passed over.
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        };
        Self { file, variables: std::env::vars_os().map(text).collect(), flags }
    }

    /// The value of each setting by name, and every name or file that cannot be used.
    pub(super) fn gather(&self) -> (BTreeMap<String, Given>, Vec<SettingError>) {
        let mut gathered = Gathered { given: defaults(), errors: Vec::new() };
        gathered.add(self.of_file());
        gathered.add(Ok(self.of_variables()));
        gathered.add(Ok(self.of_flags()));
        (gathered.given, gathered.errors)
    }

    fn of_file(&self) -> Result<Layer, SettingError> {
        let by_variable = self.variables.iter().find(|(name, value)| name == "POSTRIDER_CONFIG" && !value.is_empty());
        let named = match (&self.file, by_variable) {
            (Some(path), _) => Some((path.clone(), Source::Flag("--config".to_owned()))),
            (None, Some((name, value))) => Some((PathBuf::from(value), Source::Variable(name.clone()))),
            (None, None) => None,
        };
        let (path, source) = match named {
            Some(named) => named,
            None if Path::new(FILE_DEFAULT).exists() => (FILE_DEFAULT.into(), Source::Default),
            None => return Ok(Vec::new()),
        };
        let wrong =
            |message: String| SettingError { setting: "settings file".to_owned(), source: source.clone(), message };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
        // Only the place is told: the line itself may hold a secret.
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            wrong(format!("{} is not TOML: line {line}: {}", path.display(), error.message()))
        })?;
        let mut layer = Vec::new();
        flatten(&table, "", &mut |name, value| {
            let source = Source::File { path: path.clone(), key: name.clone() };
            layer.push((name, value, source));
        });
        Ok(layer)
    }

    fn of_variables(&self) -> Layer {
        let is_setting = |(name, _): &&(String, String)| {
            name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()) && !is_of_a_cluster(name)
        };
        let entry = |(variable, value): &(String, String)| {
            let name = variable[PREFIX.len()..].to_lowercase().replace("__", ".");
            (name, Ok(Value::Text(value.clone())), Source::Variable(variable.clone()))
        };
        self.variables.iter().filter(is_setting).map(entry).collect()
    }

    fn of_flags(&self) -> Layer {
        let entry =
            |flag: &Flag| (flag.name.clone(), Ok(Value::Text(flag.value.clone())), Source::Flag(flag.flag.clone()));
        self.flags.iter().map(entry).collect()
    }
}

/// Kubernetes and linked containers tell every process where the service `postrider` is, in variables of these names.
fn is_of_a_cluster(variable: &str) -> bool {
    let rest = &variable[PREFIX.len()..];
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|start| rest.starts_with(start))
}

/// Names, values and who gave them; a value that is neither a text nor a list of texts is told instead.
type Layer = Vec<(String, Result<Value, &'static str>, Source)>;

struct Gathered {
    given: BTreeMap<String, Given>,
    errors: Vec<SettingError>,
}

impl Gathered {
    fn add(&mut self, layer: Result<Layer, SettingError>) {
        let layer = match layer {
            Ok(layer) => layer,
            Err(error) => return self.errors.push(error),
        };
        let twice: Vec<String> = SECRETS
            .iter()
            .map(|secret| format!("{secret}{FILE_SUFFIX}"))
            .filter(|file| {
                let plain = file.trim_end_matches(FILE_SUFFIX);
                layer.iter().any(|(name, ..)| name == file) && layer.iter().any(|(name, ..)| name == plain)
            })
            .collect();
        for (name, value, source) in layer {
            if twice.contains(&name) {
                let plain = source.spell(name.trim_end_matches(FILE_SUFFIX));
                self.wrong(&name, source, format!("is given together with {plain}: give one of the two"));
                continue;
            }
            match value {
                Ok(value) => self.put(&name, value, source),
                Err(message) => self.wrong(&name, source, message.to_owned()),
            }
        }
    }

    fn put(&mut self, name: &str, value: Value, source: Source) {
        if let Some(known) = self.given.get_mut(name) {
            *known = Given { value, source };
            return;
        }
        if let Some(secret) = name.strip_suffix(FILE_SUFFIX).filter(|name| SECRETS.contains(name)) {
            return self.put_file(secret, name, &value, source);
        }
        let message = self.unknown(name, &source);
        self.wrong(name, source, message);
    }

    /// A secret that stands in a file; the line break that editors put at its end is not part of it.
    fn put_file(&mut self, secret: &str, name: &str, value: &Value, source: Source) {
        let Value::Text(path) = value else {
            return self.wrong(name, source, "must be the path of a file".to_owned());
        };
        if path.is_empty() {
            return;
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let value = Value::Text(text.trim_end_matches(['\r', '\n']).to_owned());
                self.given.insert(secret.to_owned(), Given { value, source });
            }
            Err(error) => self.wrong(name, source, format!("the file {path} cannot be read: {error}")),
        }
    }

    fn unknown(&self, name: &str, source: &Source) -> String {
        if self.given.keys().any(|known| known.starts_with(&format!("{name}."))) {
            return "is a section and takes no value of its own".to_owned();
        }
        let files = SECRETS.iter().map(|secret| format!("{secret}{FILE_SUFFIX}"));
        let names = self.given.keys().cloned().chain(files);
        let distance = |known: &String| strsim::damerau_levenshtein(known, name);
        let nearest = names.min_by_key(distance).filter(|known| distance(known) <= 2 + name.len() / 4);
        match nearest {
            Some(nearest) => format!("there is no such setting; did you mean {}?", source.spell(&nearest)),
            None => "there is no such setting; 'postrider config dump' lists all".to_owned(),
        }
    }

    fn wrong(&mut self, name: &str, source: Source, message: String) {
        self.errors.push(SettingError { setting: name.to_owned(), source, message });
    }
}

/// The defaults: every setting that there is.
pub(super) fn defaults() -> BTreeMap<String, Given> {
    let table: Table = DEFAULTS.parse().expect("the built-in defaults are TOML");
    let mut given = BTreeMap::new();
    flatten(&table, "", &mut |name, value| {
        let value = value.expect("a default is a text or a list");
        given.insert(name, Given { value, source: Source::Default });
    });
    for name in providers_with_base_url() {
        let value = Value::Text(String::new());
        given.insert(base_url_setting(name), Given { value, source: Source::Default });
    }
    given
}

/// The providers whose API an operator can have elsewhere: their SPECs say so, and there is a setting for each.
pub(super) fn providers_with_base_url() -> impl Iterator<Item = &'static str> {
    providers::all().iter().map(|provider| provider.spec()).filter(|spec| spec.base_url.is_some()).map(|spec| spec.name)
}

/// The name of that setting.
pub(super) fn base_url_setting(provider: &str) -> String {
    format!("providers.{provider}.base_url")
}

/// Calls `take` with the full name of every value in a table and its sections.
fn flatten(table: &Table, prefix: &str, take: &mut impl FnMut(String, Result<Value, &'static str>)) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            Toml::Table(section) => flatten(section, &format!("{name}."), take),
            Toml::Array(items) => {
                let texts = items.iter().map(scalar).collect::<Option<_>>();
                take(name, texts.map(Value::List).ok_or("must be a list of texts"));
            }
            one => take(name, scalar(one).map(Value::Text).ok_or("must be a text, a number, true or false")),
        }
    }
}

/// Settings are texts everywhere, as variables and flags are; the type of the setting says what a text means.
fn scalar(value: &Toml) -> Option<String> {
    match value {
        Toml::String(text) => Some(text.clone()),
        Toml::Integer(number) => Some(number.to_string()),
        Toml::Float(number) => Some(number.to_string()),
        Toml::Boolean(is_so) => Some(is_so.to_string()),
        Toml::Datetime(_) | Toml::Array(_) | Toml::Table(_) => None,
    }
}
