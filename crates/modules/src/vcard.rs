//! vCards (XEP-0054): what users tell of themselves, to whoever asks, whether they are there or not. Avatars in it (XEP-0153) are
//! announced by clients. Bringing it together with what is published by PEP (XEP-0398, XEP-0292) begins here, in `set`.

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    About, Answer, At, Condition, Cx, Effect, Element, Hooks, Malformed, Module, Put, Reply, Request, StanzaError, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Key;
use xml::Limits;

/// The module.
pub(crate) struct Vcards {
    config: VcardConfig,
}

/// Limits, and what the server says of itself.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VcardConfig {
    /// Largest vCard, in bytes; a larger one is refused with `not-acceptable`. No stanza may be larger than `edge.limits.after.stanza`,
    /// whatever is said here.
    pub max_bytes: usize,
    /// The server's own vCard. Without a name it has none.
    pub server: ServerCard,
}

/// The server's own vCard.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerCard {
    /// What the service is called (`FN`).
    pub name: String,
    /// Its web page (`URL`).
    pub url: String,
    /// What it is (`DESC`).
    pub description: String,
}

impl Default for VcardConfig {
    fn default() -> Self {
        Self {
            max_bytes: 262_144,
            server: ServerCard::default(),
        }
    }
}

/// `<vCard xmlns='vcard-temp'/>`
struct Card(Element);

impl Request for Card {
    const NS: &'static str = ns::VCARD;
    const NAME: &'static str = "vCard";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self(element.clone()))
    }
}

impl Module for Vcards {
    const ABOUT: About = About {
        name: "vcard",
        rfcs: &[],
        xeps: &[(54, "1.3.0"), (153, "1.1.1")],
        summary: "Keeps what users tell of themselves, their pictures among it.",
    };
    type Config = VcardConfig;

    fn new(config: VcardConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.feature(At::Server, ns::VCARD);
        let own = self.config.server.card();
        on.get(At::Server, move |_: Cx, _: Card| {
            std::future::ready(
                own.clone()
                    .map(Reply::from)
                    .ok_or_else(|| Condition::ItemNotFound.into()),
            )
        });
        on.get(At::Account, get);
        on.set(At::Account, move |cx, card| set(cx, card, self.config.max_bytes));
    }
}

/// XEP-0054, 3.1 and 3.3. Of an account without a vCard others hear what they would hear if there were none.
async fn get(cx: Cx, _: Card) -> Answer {
    let absent = match cx.is_owner() {
        true => Condition::ItemNotFound,
        false => Condition::ServiceUnavailable,
    };
    let stored = cx.stores.items.get(&cx.account.jid, &key()).await?;
    let item = stored.ok_or(absent)?;
    let card = Element::parse(&item.value, ns::VCARD, &Limits::UNLIMITED);
    Ok(card.map_err(|_| Condition::InternalServerError)?.into())
}

/// XEP-0054, 3.2: as a whole, by the owner alone. An empty one removes what there was.
async fn set(cx: Cx, Card(card): Card, most: usize) -> Answer {
    if !cx.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    let mut value = Vec::new();
    card.write(ns::VCARD, &mut value);
    if value.len() > most {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("the vCard is too large"));
    }
    let stored = cx.stores.items.get(&cx.account.jid, &key()).await?;
    Ok(Reply::empty().effect(Effect::Put(Put {
        key: key(),
        value: (!card.nodes().is_empty()).then(|| Bytes::from(value)),
        seen: stored.map(|item| item.version),
        fact: None,
    })))
}

impl ServerCard {
    fn card(&self) -> Option<Element> {
        let fields = [("FN", &self.name), ("URL", &self.url), ("DESC", &self.description)];
        let said = fields.into_iter().filter(|(_, text)| !text.is_empty());
        let fields = said.map(|(name, text)| Element::new(ns::VCARD, name).text(text));
        (!self.name.is_empty()).then(|| Element::new(ns::VCARD, "vCard").extend(fields))
    }
}

fn key() -> Key {
    Key {
        space: "vcard".to_owned(),
        name: "temp".to_owned(),
    }
}
