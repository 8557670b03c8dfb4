//! The keys calls are made with: where they come from, and what a call is given of them.

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc};

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::{
    check::Checks,
    reload::{self, Live, Reload},
    secret::Secret,
    telemetry::Metrics,
};

/// The alias of a key that is not one of `upstream.keys`.
const DEFAULT_ALIAS: &str = "default";

/// Bytes a key may have: Voyage's have about fifty.
const MAX_KEY_BYTES: usize = 512;

/// Keys a pool may have.
const MAX_KEYS: usize = 64;

/// `[[upstream.keys]]`: one key of several, in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeyConfig {
    /// What errors, metrics and logs call the key; 1 to 64 visible ASCII characters, no two alike.
    pub alias: String,

    /// The file that holds the key and nothing else. It is looked at every `reload.interval`, and whenever Voyage
    /// rejects the key.
    pub file: PathBuf,

    /// The requests a minute that Voyage takes with this key for each model, at least 1. Unset: `limits.rpm`.
    /// Where `limits.models` names less for a model, that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,

    /// The tokens a minute that Voyage takes with this key for each model, at least 1. Unset: `limits.tpm`.
    /// Where `limits.models` names less for a model, that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
}

/// What Voyage takes in a minute with one key, for each model; `None`: as `[limits]` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests.
    pub rpm: Option<u32>,
    /// Tokens.
    pub tpm: Option<u64>,
}

/// One key as a call is given it.
pub struct ApiKey {
    alias: Arc<str>,
    secret: Secret,
    /// Made once, and marked as sensitive.
    authorization: HeaderValue,
}

/// Where keys come from: one from the environment, or those of `upstream.keys`.
#[derive(Clone, Debug)]
pub struct KeySources(Vec<Source>);

#[derive(Clone, Debug)]
struct Source {
    /// The setting or variable it comes from.
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

/// One key of the pool, whatever its file says at the moment.
#[derive(Clone, Debug)]
pub struct Member {
    alias: Arc<str>,
    limits: KeyLimits,
    live: Arc<Live<ApiKey>>,
}

/// Why a key cannot be used. Names the setting and the file, never the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key that was given is none.
    #[error("{what}: {problem}")]
    Given {
        /// Where it was given.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] reload::LoadError),
    /// Two are one, whose budget would be used twice.
    #[error("upstream.keys: the files of {0} and {1} hold the same API key")]
    Twice(Arc<str>, Arc<str>),
    /// There is none.
    #[error("there is no API key")]
    Missing,
}

impl KeyConfig {
    /// Checks all of `upstream.keys`.
    pub(super) fn validate(keys: &[Self], checks: Checks) -> Checks {
        let mut checks = checks.require("keys", keys.len() <= MAX_KEYS, "must be at most 64 keys");
        let mut aliases = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let mut require = |name: &str, holds: bool, demand: &str| {
                let demand = format!("item {}: {name:?}: {demand}", index + 1);
                checks = std::mem::take(&mut checks).require("keys", holds, &demand);
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
        checks
    }
}

/// What is said to a key that stands where a path belongs.
pub const IS_NO_PATH: &str =
    "must be the path of a file that holds the key, and looks like the key itself";

/// Tells whether somebody put the key itself where its path belongs. Such a path can be written `./pa-…`.
pub fn looks_like_a_key(path: &str) -> bool {
    path.starts_with("pa-") || path.starts_with("al-")
}

impl KeySources {
    /// A key that never changes; `what` is where it was given.
    pub fn given(what: &'static str, key: Secret) -> Self {
        Self::one(what, Origin::Given(key))
    }

    /// A key in a file; `what` is the setting that names it.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> Self {
        Self::one(what, Origin::File(path.into()))
    }

    /// The keys of `upstream.keys`.
    pub fn configured(keys: &[KeyConfig]) -> Self {
        let source = |key: &KeyConfig| Source {
            what: "upstream.keys",
            alias: Arc::from(key.alias.as_str()),
            origin: Origin::File(key.file.clone()),
            limits: KeyLimits { rpm: key.rpm, tpm: key.tpm },
        };
        Self(keys.iter().map(source).collect())
    }

    fn one(what: &'static str, origin: Origin) -> Self {
        let alias = Arc::from(DEFAULT_ALIAS);
        Self(vec![Source { what, alias, origin, limits: KeyLimits::default() }])
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

impl Source {
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
    /// Goes through the keys, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// Returns the files, to be looked at now and then.
    pub fn files(&self) -> impl Iterator<Item = Arc<dyn Reload>> + '_ {
        self.iter().map(|member| Arc::clone(&member.live) as Arc<dyn Reload>)
    }

    /// Takes every key of the pool out of `text`, and the one a call was made with, which may have left it.
    pub(super) fn scrub(&self, text: &str, used: &ApiKey) -> String {
        let in_force: Vec<Arc<ApiKey>> = self.iter().map(Member::key).collect();
        let mut secrets: Vec<&Secret> = in_force.iter().map(|key| &key.secret).collect();
        secrets.push(&used.secret);
        // One key may be the beginning of another: no end of it must stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        secrets.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text))
    }
}

impl<'a> IntoIterator for &'a ApiKeys {
    type Item = &'a Member;
    type IntoIter = std::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Member {
    /// Returns what errors, metrics and logs call it.
    pub fn alias(&self) -> &Arc<str> {
        &self.alias
    }

    /// Returns what Voyage takes with it.
    pub fn limits(&self) -> KeyLimits {
        self.limits
    }

    /// Returns the key in force.
    pub fn key(&self) -> Arc<ApiKey> {
        self.live.get()
    }

    /// Looks at its file again. Blocks: it reads the file.
    pub fn reload(&self) {
        self.live.reload();
    }
}

impl ApiKey {
    /// Makes sense of a key, without the white space around it: files and mounted secrets end in a newline.
    fn parse(alias: &Arc<str>, bytes: &[u8]) -> Result<Self, String> {
        let key = bytes.trim_ascii();
        if key.is_empty() {
            return Err("the API key is empty".to_owned());
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(format!("the API key is longer than {MAX_KEY_BYTES} bytes"));
        }
        let malformed = "the API key holds characters other than visible ASCII ones";
        let text = str::from_utf8(key).ok().filter(|_| key.iter().all(u8::is_ascii_graphic));
        let text = text.ok_or(malformed)?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| malformed)?;
        authorization.set_sensitive(true);
        Ok(Self { alias: Arc::clone(alias), secret: Secret::new(text), authorization })
    }

    /// Returns what errors, metrics and logs call it.
    pub fn alias(&self) -> &Arc<str> {
        &self.alias
    }

    /// Tells whether two are the same secret.
    pub fn same_secret(&self, other: &Self) -> bool {
        self.secret == other.secret
    }

    /// Tells whether it is one of `MongoDB` Atlas.
    pub(super) fn is_atlas(&self) -> bool {
        self.secret.expose().starts_with("al-")
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }
}

/// Says which key it is; the secret is unprintable.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.alias)
    }
}

#[cfg(test)]
pub(super) mod tests;
