//! The models of one gateway, and their aliases.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use super::{
    Kind, Model,
    built_in::{self, CATALOGUE},
};

/// The models of one gateway: Voyage's with the overrides of `[models]`, and the aliases. Cheap to clone.
///
/// It never changes while the gateway runs: vectors of two models behind one alias would mix.
#[derive(Clone, Debug)]
pub struct Catalogue(Arc<Entries>);

#[derive(Debug)]
struct Entries {
    /// Voyage's in their order, then the added ones.
    models: Vec<&'static Model>,
    by_name: HashMap<&'static str, &'static Model>,
    aliases: HashMap<String, Arc<str>>,
}

impl Catalogue {
    /// Returns Voyage's models without aliases.
    pub fn built_in() -> Self {
        Self::new(CATALOGUE.iter().collect(), HashMap::new())
    }

    pub(super) fn new(models: Vec<&'static Model>, aliases: HashMap<String, Arc<str>>) -> Self {
        let by_name = models.iter().map(|model| (model.name, *model)).collect();
        Self(Arc::new(Entries { models, by_name, aliases }))
    }

    /// Returns all models, Voyage's first.
    pub fn models(&self) -> impl Iterator<Item = &'static Model> + '_ {
        self.0.models.iter().copied()
    }

    /// Finds a model by its exact name.
    pub fn find(&self, name: &str) -> Option<&'static Model> {
        self.0.by_name.get(name).copied()
    }

    /// Returns the aliases of a model in their order.
    pub fn aliases_of(&self, model: &str) -> Vec<String> {
        let aliases = self.0.aliases.iter().filter(|(_, name)| ***name == *model);
        let mut aliases: Vec<_> = aliases.map(|(alias, _)| alias.clone()).collect();
        aliases.sort_unstable();
        aliases
    }

    /// Returns the model of a name or of an alias.
    pub fn resolve(&self, name: &str) -> ModelName {
        let name = self.0.aliases.get(name).map_or_else(|| Arc::from(name), Arc::clone);
        let listed = self.find(&name);
        ModelName { name, listed }
    }
}

/// The name of a model, with the model if it is listed. Never an alias.
#[derive(Clone)]
pub struct ModelName {
    name: Arc<str>,
    listed: Option<&'static Model>,
}

impl ModelName {
    /// Returns the model, if it is listed.
    pub const fn listed(&self) -> Option<&'static Model> {
        self.listed
    }

    /// Returns the model, if it is listed and of this kind.
    pub fn listed_as(&self, kind: Kind) -> Option<&'static Model> {
        self.listed.filter(|model| model.kind == kind)
    }
}

/// Takes the name of one of Voyage's models, without the configuration.
impl From<&str> for ModelName {
    fn from(name: &str) -> Self {
        Self { name: Arc::from(name), listed: built_in::find(name) }
    }
}

impl Deref for ModelName {
    type Target = Arc<str>;

    fn deref(&self) -> &Arc<str> {
        &self.name
    }
}

/// One gateway has one model of a name.
impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ModelName {}

impl Hash for ModelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
