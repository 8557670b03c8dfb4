//! The API keys: their sources, the pool, and the header that a call carries.

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::{
    check::Validation,
    reload::{self, Live, Reload},
    secret::Secret,
    telemetry::Metrics,
};

/// The alias of a key that is not one of `upstream.keys`.
const DEFAULT_ALIAS: &str = "default";

/// The longest key, in bytes; Voyage's keys have about fifty.
const MAX_KEY_BYTES: usize = 512;

/// The largest number of keys in a pool.
const MAX_KEYS: usize = 64;

/// `[[upstream.keys]]`: one key of several, in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeyConfig {
    /// The name of the key in errors, metrics and logs; 1 to 64 visible ASCII characters, unique.
    pub alias: String,

    /// The file that holds the key and nothing else. It is read again every `reload.interval`, and when Voyage
    /// rejects the key.
    pub file: PathBuf,

    /// Voyage's limit of requests a minute with this key, for each model; at least 1. Unset: `limits.rpm`.
    /// A lower limit in `limits.models` takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,

    /// Voyage's limit of tokens a minute with this key, for each model; at least 1. Unset: `limits.tpm`.
    /// A lower limit in `limits.models` takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
}

/// The limits of one key in a minute, for each model; `None`: those of `[limits]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests.
    pub rpm: Option<u32>,
    /// Tokens.
    pub tpm: Option<u64>,
}

/// One key in the form that a call needs.
pub struct ApiKey {
    alias: Arc<str>,
    secret: Secret,
    /// The header's value, marked as sensitive.
    authorization: HeaderValue,
}

/// The sources of the keys: one from the environment, or those of `upstream.keys`.
#[derive(Clone, Debug)]
pub struct KeySources(Vec<KeySource>);

#[derive(Clone, Debug)]
struct KeySource {
    /// The setting or variable that holds or names it.
    what: &'static str,
    alias: Arc<str>,
    origin: Origin,
    limits: KeyLimits,
}

#[derive(Clone, Debug)]
enum Origin {
    Given(Secret),
    File(PathBuf),
}

/// The pool of keys; cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiKeys(Arc<[Member]>);

/// One key of the pool, with the current content of its file.
#[derive(Clone, Debug)]
pub struct Member {
    alias: Arc<str>,
    limits: KeyLimits,
    live: Arc<Live<ApiKey>>,
}

/// Why a key cannot be used. The message holds the setting and the file, never the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The value is not a key.
    #[error("{what}: {problem}")]
    Given {
        /// The setting or variable that holds or names it.
        what: &'static str,
        /// The problem, without the key.
        problem: String,
    },
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] reload::LoadError),
    /// Two sources have the same key, and its budget would be used twice.
    #[error("upstream.keys: the files of {0} and {1} hold the same API key")]
    Twice(Arc<str>, Arc<str>),
    /// There is no key.
    #[error("no API key")]
    Missing,
}

impl KeyConfig {
    /// Validates all of `upstream.keys`.
    pub(super) fn validate(keys: &[Self], validation: Validation) -> Validation {
        let mut validation =
            validation.require("keys", keys.len() <= MAX_KEYS, "must be at most 64 keys");
        let mut aliases = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let mut require = |name: &str, holds: bool, demand: &str| {
                let demand = format!("item {}: {name:?}: {demand}", index + 1);
                validation = std::mem::take(&mut validation).require("keys", holds, &demand);
            };
            let alias = key.alias.as_bytes();
            require(
                "alias",
                (1..=64).contains(&alias.len()) && alias.iter().all(u8::is_ascii_graphic),
                "must be 1 to 64 visible ASCII characters",
            );
            require("alias", aliases.insert(alias), "must differ from those before it");
            let file = key.file.to_string_lossy();
            require("file", !file.is_empty(), "must be the path of a file");
            require("file", !looks_like_a_key(&file), IS_NO_PATH);
            require("rpm", key.rpm != Some(0), "must be at least 1");
            require("tpm", key.tpm != Some(0), "must be at least 1");
        }
        validation
    }
}

/// The error for a key in the place of a path.
pub const IS_NO_PATH: &str =
    "must be the path of a file that holds the key, and looks like the key itself";

/// Returns whether a path looks like a key. A file of such a name can be written `./pa-…`.
pub fn looks_like_a_key(path: &str) -> bool {
    path.starts_with("pa-") || path.starts_with("al-")
}

impl KeySources {
    /// A key that never changes; `what` is the setting or variable that holds it.
    pub fn given(what: &'static str, key: Secret) -> Self {
        Self::one(what, Origin::Given(key))
    }

    /// A key in a file; `what` is the setting that names it.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> Self {
        Self::one(what, Origin::File(path.into()))
    }

    /// The keys of `upstream.keys`.
    pub fn configured(keys: &[KeyConfig]) -> Self {
        let source = |key: &KeyConfig| KeySource {
            what: "upstream.keys",
            alias: Arc::from(key.alias.as_str()),
            origin: Origin::File(key.file.clone()),
            limits: KeyLimits { rpm: key.rpm, tpm: key.tpm },
        };
        Self(keys.iter().map(source).collect())
    }

    fn one(what: &'static str, origin: Origin) -> Self {
        let alias = Arc::from(DEFAULT_ALIAS);
        Self(vec![KeySource { what, alias, origin, limits: KeyLimits::default() }])
    }

    /// Reads the keys for the first time.
    pub fn load(&self, metrics: &Metrics) -> Result<ApiKeys, KeyError> {
        let mut members: Vec<Member> = Vec::new();
        for source in &self.0 {
            let member = source.load(metrics.clone())?;
            let twin = members.iter().find(|other| other.key().same_secret(&member.key()));
            if let Some(twin) = twin {
                return Err(KeyError::Twice(Arc::clone(&twin.alias), member.alias));
            }
            members.push(member);
        }
        if members.is_empty() { Err(KeyError::Missing) } else { Ok(ApiKeys(Arc::from(members))) }
    }
}

impl From<Secret> for KeySources {
    fn from(key: Secret) -> Self {
        Self::given("the API key", key)
    }
}

impl KeySource {
    fn load(&self, metrics: Metrics) -> Result<Member, KeyError> {
        let (what, alias) = (self.what, Arc::clone(&self.alias));
        let live = match &self.origin {
            Origin::Given(secret) => {
                let key = ApiKey::parse(&alias, secret.expose().as_bytes())
                    .map_err(|problem| KeyError::Given { what, problem })?;
                Live::fixed(what, key, metrics)
            }
            Origin::File(path) => {
                let alias = Arc::clone(&alias);
                let parse = move |contents: &[Vec<u8>]| ApiKey::parse(&alias, &contents.concat());
                Live::load(what, vec![path.clone()], metrics, parse)?
            }
        };
        Ok(Member { alias, limits: self.limits, live })
    }
}

impl ApiKeys {
    /// Returns the keys in the order of the configuration.
    pub fn members(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// Returns the files, to be reloaded from time to time.
    pub fn files(&self) -> impl Iterator<Item = Arc<dyn Reload>> + '_ {
        self.members().map(|member| Arc::clone(&member.live) as Arc<dyn Reload>)
    }

    /// Removes every key of the pool from `text`, and the key that a call used, which may have left the pool.
    pub(super) fn scrub(&self, text: &str, used: &ApiKey) -> String {
        let in_force: Vec<Arc<ApiKey>> = self.members().map(Member::key).collect();
        let mut secrets: Vec<&Secret> = in_force.iter().map(|key| &key.secret).collect();
        secrets.push(&used.secret);
        // One key may be the beginning of another: the longer goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        secrets.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text))
    }
}

impl Member {
    /// Returns its name in errors, metrics and logs.
    pub fn alias(&self) -> &Arc<str> {
        &self.alias
    }

    /// Returns its limits.
    pub fn limits(&self) -> KeyLimits {
        self.limits
    }

    /// Returns the current key.
    pub fn key(&self) -> Arc<ApiKey> {
        self.live.get()
    }

    /// Reads its file again. Blocks.
    pub fn reload(&self) {
        self.live.reload();
    }
}

impl ApiKey {
    /// Parses a key, without the white space around it: files and mounted secrets end in a newline.
    fn parse(alias: &Arc<str>, bytes: &[u8]) -> Result<Self, String> {
        let key = bytes.trim_ascii();
        if key.is_empty() {
            return Err("the API key is empty".to_owned());
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(format!("the API key is longer than {MAX_KEY_BYTES} bytes"));
        }
        let malformed = || "the API key holds characters other than visible ASCII ones".to_owned();
        let text = str::from_utf8(key).ok().filter(|_| key.iter().all(u8::is_ascii_graphic));
        let text = text.ok_or_else(malformed)?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| malformed())?;
        authorization.set_sensitive(true);
        Ok(Self { alias: Arc::clone(alias), secret: Secret::new(text), authorization })
    }

    /// Returns its name in errors, metrics and logs.
    pub fn alias(&self) -> &Arc<str> {
        &self.alias
    }

    /// Returns whether both have the same secret.
    pub fn same_secret(&self, other: &Self) -> bool {
        self.secret == other.secret
    }

    /// Returns whether it is a key of `MongoDB` Atlas.
    pub(super) fn is_atlas(&self) -> bool {
        self.secret.expose().starts_with("al-")
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }
}

/// Shows the alias; the secret is unprintable.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.alias)
    }
}

#[cfg(test)]
pub(super) mod tests;
