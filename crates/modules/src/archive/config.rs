//! Settings of the archive, and what it is called.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log of the messages that an account said and heard.
pub(crate) const LOG: &str = "archive";
/// Noted of a session whose client reads the archive.
pub(crate) const READS: &str = "archive";

/// What is kept, and how much of it goes to a client at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ArchiveConfig {
    /// What is archived for users who have not said otherwise: `always` everything, `roster` only conversations with contacts, `never`
    /// nothing.
    pub default: Default,
    /// How many addresses a user may name in the preferences; more are refused with `resource-constraint`.
    pub max_preferences: usize,
    /// How long a message is kept, such as `365d`; older ones are removed within about `router.retain_s`, unless they still wait for somebody.
    /// Default: for ever.
    #[serde(with = "store::duration::optional")]
    #[schemars(with = "Option<String>")]
    pub max_age: Option<Duration>,
    /// How many messages are kept for one account; of more, the oldest are removed within about `router.retain_s`, unless they still wait for
    /// somebody. Default: all.
    pub max_messages: Option<u32>,
    /// How many messages a page has when the client does not say.
    pub page: u32,
    /// How many messages a page has at most.
    pub max_page: u32,
    /// How many bytes a page has at most; the client gets the rest with the next one.
    pub max_page_bytes: usize,
    /// How many messages one question by words (XEP-0431) may add to the index of an account's words, which is made for those who search: an older
    /// archive that has more is not searched at once, and its client is told to ask again (`resource-constraint`).
    pub max_indexed: u32,
    /// How many messages are counted at most for a client that asks how many match.
    pub max_counted: u32,
    /// How many messages a client may ask for by their ids at a time; more are refused with `resource-constraint`.
    pub max_ids: usize,
}

impl std::default::Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            default: Default::Always,
            max_preferences: 1_000,
            max_age: None,
            max_messages: None,
            page: 50,
            max_page: 250,
            max_page_bytes: 524_288,
            max_indexed: 50_000,
            max_counted: 100_000,
            max_ids: 100,
        }
    }
}

/// What is archived of conversations with addresses that are in no list (XEP-0441, 2.2).
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Default {
    Always,
    Never,
    Roster,
}

impl Default {
    pub(super) fn wants(self, is_contact: impl Fn() -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Roster => is_contact(),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Roster => "roster",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Always, Self::Never, Self::Roster]
            .into_iter()
            .find(|default| default.name() == name)
    }
}
