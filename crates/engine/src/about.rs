//! What a module is and what it says of itself.

use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Hooks;
use crate::hooks::InstallError;

/// A feature of the server: one file or small folder that declares what it wants and does nothing else.
pub trait Module: Sized + Send + Sync + 'static {
    /// What it says of itself.
    const ABOUT: About;
    /// Its settings; `()` when there are none.
    type Config: Config;
    /// Makes the module for one virtual host.
    fn new(config: Self::Config) -> Self;
    /// Declares hooks, handlers and features.
    fn install(self: Arc<Self>, on: &mut Hooks);
}

/// What a module says of itself: the source of the generated tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Module name = file name = configuration key = script folder = metric label.
    pub name: &'static str,
    /// Sections of RFCs it implements, such as `("6121", "2")`.
    pub rfcs: &'static [(&'static str, &'static str)],
    /// XEPs with the version implemented.
    pub xeps: &'static [(u16, &'static str)],
    /// One sentence.
    pub summary: &'static str,
}

/// Settings with a schema, defaults and doc comments, from which the reference is generated. Structs derive
/// `Deserialize`, `Serialize`, `JsonSchema` and have `#[serde(default, deny_unknown_fields)]`.
pub trait Config: Default + DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {}

impl<T: Default + DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static> Config for T {}

/// A module with its type rubbed out: one line of the registry.
pub struct Row {
    /// What it says of itself.
    pub about: About,
    install: fn(&Value, &mut Hooks) -> Result<(), InstallError>,
    schema: fn() -> Schema,
    defaults: fn() -> Value,
}

/// The registry line of module `M`.
pub const fn row<M: Module>() -> Row {
    Row {
        about: M::ABOUT,
        install: install::<M>,
        schema: schema::<M>,
        defaults: defaults::<M>,
    }
}

impl Row {
    /// Makes the module from its settings (`Null`: defaults) and lets it declare its hooks.
    ///
    /// # Errors
    /// When the settings do not fit.
    pub fn install(&self, settings: &Value, hooks: &mut Hooks) -> Result<(), InstallError> {
        hooks.enter(self.about.name);
        (self.install)(settings, hooks)
    }

    /// The settings' JSON schema; doc comments are its descriptions.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The settings' defaults.
    pub fn defaults(&self) -> Value {
        (self.defaults)()
    }
}

fn install<M: Module>(settings: &Value, hooks: &mut Hooks) -> Result<(), InstallError> {
    let config = match settings {
        Value::Null => M::Config::default(),
        Value::Object(map) if map.is_empty() => M::Config::default(),
        settings => serde_json::from_value(settings.clone()).map_err(|error| InstallError::Config {
            module: M::ABOUT.name,
            reason: error.to_string(),
        })?,
    };
    Arc::new(M::new(config)).install(hooks);
    Ok(())
}

fn schema<M: Module>() -> Schema {
    schemars::schema_for!(M::Config)
}

fn defaults<M: Module>() -> Value {
    serde_json::to_value(M::Config::default()).unwrap_or(Value::Null)
}
