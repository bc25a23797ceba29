//! What a client asks of its archive (XEP-0313, 4.1): the form's fields and the page, read into one request to the store.

use engine::{Condition, Element, Jid, StanzaError, Timestamp, ns};
use stanza::ArchiveId;
use stanza::form::{Form, FormType};
use stanza::rsm::Asked;
use store::PageRequest;

/// What a client asks of its archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// The messages that match, as far as the form says; the page aside.
    pub(super) request: PageRequest,
    /// Only these messages.
    pub(super) ids: Vec<ArchiveId>,
    /// Which page.
    pub(super) page: Asked,
    /// Messages that must be there for the question to make sense.
    pub(super) known: Vec<ArchiveId>,
    /// The newest of a page come first.
    pub(super) flip: bool,
    /// By which the client knows the answers.
    pub(super) queryid: Option<String>,
}

impl Filter {
    /// Reads a `query` of type set.
    ///
    /// # Errors
    /// `bad-request` and `jid-malformed` for what cannot be read, `feature-not-implemented` for an unknown field, `item-not-found` for an
    /// id that was never given to a message.
    pub(super) fn read(query: &Element) -> Result<Self, StanzaError> {
        if query.attribute("node").is_some() {
            return Err(refusal(Condition::FeatureNotImplemented, "the archive has no nodes"));
        }
        let set = query.child(ns::RSM, "set").map(Asked::read);
        let mut filter = Self {
            page: set.unwrap_or(Some(Asked::default())).ok_or(Condition::BadRequest)?,
            flip: query.child(ns::MAM, "flip-page").is_some(),
            queryid: query.attribute("queryid").map(str::to_owned),
            ..Self::default()
        };
        if filter.page.index.is_some() {
            return Err(refusal(
                Condition::FeatureNotImplemented,
                "pages are named by their ends",
            ));
        }
        if let Some(form) = query.child(ns::DATA_FORMS, "x") {
            filter.read_form(form)?;
        }
        filter.narrow()?;
        Ok(filter)
    }

    /// Whether it asks for whatever there is, beginning somewhere: who has asked so reads the archive.
    pub(super) fn is_of_all(&self) -> bool {
        self.request.with.is_none() && self.request.text.is_empty() && self.ids.is_empty() && self.page.max != Some(0)
    }

    fn read_form(&mut self, form: &Element) -> Result<(), StanzaError> {
        let form = Form::read(form).filter(|form| form.kind == FormType::Submit);
        let form = form.ok_or_else(|| refusal(Condition::BadRequest, "not a submitted form"))?;
        if form.form_type() != Some(ns::MAM) {
            return Err(refusal(Condition::BadRequest, "not a form of the archive"));
        }
        for field in &form.fields {
            self.read_field(&field.name, &field.values)?;
        }
        Ok(())
    }

    fn read_field(&mut self, name: &str, values: &[String]) -> Result<(), StanzaError> {
        let Some(value) = values.first() else { return Ok(()) };
        match name {
            "FORM_TYPE" => {}
            "with" => self.request.with = Some(Jid::parse(value).map_err(|_| Condition::JidMalformed)?),
            "start" => self.request.start = Some(time(value)?),
            // Clients see milliseconds.
            "end" => self.request.end = Some(Timestamp(time(value)?.0.saturating_add(999))),
            // XEP-0431, 3.1
            FULLTEXT if values.iter().all(String::is_empty) => {}
            FULLTEXT => self.request.text = values.to_vec(),
            "after-id" => self.after(id(value)?),
            "before-id" => self.before(id(value)?),
            "ids" => self.ids = values.iter().map(|value| id(value)).collect::<Result<_, _>>()?,
            // There are no messages of rooms here, whether they are wanted or not (XEP-0313, 4.1.5).
            "include-groupchat" if matches!(value.as_str(), "0" | "1" | "false" | "true") => {}
            "include-groupchat" => return Err(Condition::BadRequest.into()),
            _ => return Err(refusal(Condition::FeatureNotImplemented, "unknown field")),
        }
        Ok(())
    }

    /// Takes in what the page asks for beyond the form: what both exclude is excluded.
    fn narrow(&mut self) -> Result<(), StanzaError> {
        if let Some(after) = self.page.after.clone() {
            self.after(id(&after)?);
        }
        if let Some(before) = self.page.before.clone() {
            self.request.backwards = true;
            if !before.is_empty() {
                self.before(id(&before)?);
            }
        }
        Ok(())
    }

    fn after(&mut self, id: ArchiveId) {
        self.known.push(id);
        self.request.after = self.request.after.max(Some(id));
    }

    fn before(&mut self, id: ArchiveId) {
        self.known.push(id);
        self.request.before = Some(self.request.before.map_or(id, |before| before.min(id)));
    }
}

/// The form that tells which fields there are (XEP-0313, 4.1.6).
pub(super) fn form() -> Element {
    let field = |name: &'static str, kind: &'static str| {
        Element::new(ns::DATA_FORMS, "field")
            .with("type", kind)
            .with("var", name)
    };
    let open = Element::new(VALIDATE, "validate")
        .with("datatype", "xs:string")
        .push(Element::new(VALIDATE, "open"));
    let fields = FIELDS.iter().map(|(name, kind)| field(name, kind));
    Form::new(FormType::Form, ns::MAM)
        .to_element()
        .extend(fields)
        .push(field("ids", "list-multi").push(open))
}

fn id(text: &str) -> Result<ArchiveId, StanzaError> {
    ArchiveId::parse(text).ok_or_else(|| Condition::ItemNotFound.into())
}

fn time(text: &str) -> Result<Timestamp, StanzaError> {
    Timestamp::from_xmpp(text).ok_or_else(|| refusal(Condition::BadRequest, "not a time"))
}

fn refusal(condition: Condition, text: &str) -> StanzaError {
    StanzaError::new(condition).with_text(text)
}

const FIELDS: &[(&str, &str)] = &[
    ("with", "jid-single"),
    ("start", "text-single"),
    ("end", "text-single"),
    ("before-id", "text-single"),
    ("after-id", "text-single"),
    ("include-groupchat", "boolean"),
    (FULLTEXT, "text-single"),
];

/// What is to be found by its words (XEP-0431).
const FULLTEXT: &str = "{urn:xmpp:fulltext:0}fulltext";

/// Data forms validation (XEP-0122).
const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Result<Filter, StanzaError> {
        let xml = format!("<query xmlns='urn:xmpp:mam:2'>{inner}</query>");
        Filter::read(&Element::parse(xml.as_bytes(), "", &xml::Limits::UNLIMITED).unwrap())
    }

    fn form(fields: &[(&str, &str)]) -> String {
        let field = |(name, value): &(&str, &str)| format!("<field var='{name}'><value>{value}</value></field>");
        let fields: String = fields.iter().map(field).collect();
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>{fields}</x>"
        )
    }

    fn set(inner: &str) -> String {
        format!("<set xmlns='http://jabber.org/protocol/rsm'>{inner}</set>")
    }

    #[test]
    fn what_cannot_be_asked() {
        let unknown = "f".repeat(31) + "g";
        for (inner, condition) in [
            (form(&[("with", "@")]), Condition::JidMalformed),
            (form(&[("start", "yesterday")]), Condition::BadRequest),
            (form(&[("colour", "red")]), Condition::FeatureNotImplemented),
            (form(&[("after-id", "x")]), Condition::ItemNotFound),
            (form(&[("before-id", &unknown)]), Condition::ItemNotFound),
            (form(&[("ids", "")]), Condition::ItemNotFound),
            (form(&[("include-groupchat", "perhaps")]), Condition::BadRequest),
            (set("<after>x</after>"), Condition::ItemNotFound),
            (set("<max>x</max>"), Condition::BadRequest),
            (set("<index>3</index>"), Condition::FeatureNotImplemented),
            ("<x xmlns='jabber:x:data' type='submit'/>".into(), Condition::BadRequest),
            ("<x xmlns='jabber:x:data' type='form'/>".into(), Condition::BadRequest),
        ] {
            assert_eq!(read(&inner).expect_err(&inner).condition, condition, "{inner}");
        }
    }

    #[test]
    fn form_and_page_narrow_each_other() {
        let [a, b, c] = [3, 5, 9].map(ArchiveId);
        let both = form(&[("after-id", &a.to_string()), ("before-id", &c.to_string())]);
        let filter = read(&format!("{both}{}", set(&format!("<after>{b}</after><max>7</max>")))).unwrap();
        assert_eq!((filter.request.after, filter.request.before), (Some(b), Some(c)));
        assert_eq!((filter.page.max, filter.request.backwards), (Some(7), false));
        assert_eq!(filter.known, [a, c, b]);
        let filter = read(&format!("{both}{}", set(&format!("<before>{b}</before>")))).unwrap();
        assert_eq!((filter.request.after, filter.request.before), (Some(a), Some(b)));
        assert!(filter.request.backwards);
        assert!(read(&set("<before/>")).unwrap().request.backwards);
    }

    #[test]
    fn an_empty_text_is_none() {
        for (text, words) in [
            ("", None),
            ("…", Some(vec![])),
            ("Night!", Some(vec!["night".to_owned()])),
        ] {
            let filter = read(&form(&[("{urn:xmpp:fulltext:0}fulltext", text)])).unwrap();
            assert_eq!(filter.request.words(), words, "{text}");
        }
    }

    #[test]
    fn end_is_the_whole_millisecond() {
        let filter = read(&form(&[("end", "1970-01-01T00:00:01.005Z")])).unwrap();
        assert_eq!(filter.request.end, Some(Timestamp(1_005_999)));
    }
}
