//! Data forms (XEP-0004), as far as the server reads and makes them: a form type and named values.

use xml::Element;

use crate::ns;

/// A data form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub kind: FormType,
    /// The fields in order, `FORM_TYPE` among them.
    pub fields: Vec<Field>,
}

/// What a form is for (XEP-0004, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "values of the attribute")]
pub enum FormType {
    Cancel,
    Form,
    Result,
    Submit,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name (`var`).
    pub name: String,
    /// Its type, such as `hidden` or `list-multi`; `None` where it follows from the form type.
    pub kind: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its values.
    pub values: Vec<String>,
}

impl Form {
    /// A form of purpose `kind` whose hidden `FORM_TYPE` is `form_type` (XEP-0068).
    pub fn new(kind: FormType, form_type: &str) -> Self {
        let field = Field {
            name: FORM_TYPE.into(),
            kind: Some("hidden".into()),
            label: None,
            values: vec![form_type.into()],
        };
        Self {
            kind,
            fields: vec![field],
        }
    }

    /// This form with a field that has `values`.
    #[must_use]
    pub fn with<V: Into<String>>(
        mut self,
        name: &str,
        kind: Option<&str>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.fields.push(Field {
            name: name.into(),
            kind: kind.map(Into::into),
            label: None,
            values,
        });
        self
    }

    /// The value of `FORM_TYPE`.
    pub fn form_type(&self) -> Option<&str> {
        self.value(FORM_TYPE)
    }

    /// The values of field `name`; empty when there is no such field.
    pub fn values(&self, name: &str) -> &[String] {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .map_or(&[], |field| &field.values)
    }

    /// The first value of field `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().map(String::as_str)
    }

    /// Reads an `x` element; `None` when it is another one or its type is unknown.
    pub fn read(element: &Element) -> Option<Self> {
        if !element.is(ns::DATA_FORMS, "x") {
            return None;
        }
        let kind = FormType::from_name(element.attribute("type")?)?;
        let fields = element.children().filter(|child| child.is(ns::DATA_FORMS, "field"));
        Some(Self {
            kind,
            fields: fields.map(Field::read).collect(),
        })
    }

    /// The `x` element.
    pub fn to_element(&self) -> Element {
        Element::new(ns::DATA_FORMS, "x")
            .with("type", self.kind.name())
            .extend(self.fields.iter().map(Field::to_element))
    }
}

impl FormType {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Form => "form",
            Self::Result => "result",
            Self::Submit => "submit",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Cancel, Self::Form, Self::Result, Self::Submit]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl Field {
    fn read(element: &Element) -> Self {
        let owned = |name| element.attribute(name).map(str::to_owned);
        let values = element
            .children()
            .filter(|child| child.is(ns::DATA_FORMS, "value"))
            .map(Element::content);
        Self {
            name: owned("var").unwrap_or_default(),
            kind: owned("type"),
            label: owned("label"),
            values: values.collect(),
        }
    }

    fn to_element(&self) -> Element {
        Element::new(ns::DATA_FORMS, "field")
            .with("var", &self.name)
            .with_some("type", self.kind.as_deref())
            .with_some("label", self.label.as_deref())
            .extend(
                self.values
                    .iter()
                    .map(|value| Element::new(ns::DATA_FORMS, "value").text(value)),
            )
    }
}

/// The field that says what the other fields mean (XEP-0068, 3).
const FORM_TYPE: &str = "FORM_TYPE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let form = Form::new(FormType::Result, "http://jabber.org/network/serverinfo").with(
            "abuse-addresses",
            Some("list-multi"),
            ["mailto:abuse@shakespeare.lit", "xmpp:abuse@shakespeare.lit"],
        );
        assert_eq!(
            form.to_element().to_string(),
            "<x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
             <field var='abuse-addresses' type='list-multi'><value>mailto:abuse@shakespeare.lit</value>\
             <value>xmpp:abuse@shakespeare.lit</value></field></x>"
        );
        assert_eq!(Form::read(&form.to_element()).as_ref(), Some(&form));
        assert_eq!(form.form_type(), Some("http://jabber.org/network/serverinfo"));
        assert_eq!(form.values("abuse-addresses").len(), 2);
        assert_eq!(Form::read(&Element::new(ns::DATA_FORMS, "x").with("type", "odd")), None);
    }
}
