//! Data forms (XEP-0004), as far as the server reads and makes them: a form type and named values.

use xml::Element;

use crate::ns;

/// A data form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub kind: FormType,
    /// What people call it.
    pub title: Option<String>,
    /// What people are to do with it.
    pub instructions: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Its name (`var`).
    pub name: String,
    /// Its type, such as `hidden` or `list-multi`; `None` where it follows from the form type.
    pub kind: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its values.
    pub values: Vec<String>,
    /// Whether it must be filled in.
    pub required: bool,
    /// The values to choose from; empty: any.
    pub options: Vec<String>,
}

impl Form {
    /// A form of purpose `kind` whose hidden `FORM_TYPE` is `form_type` (XEP-0068).
    pub fn new(kind: FormType, form_type: &str) -> Self {
        let form = Self {
            kind,
            title: None,
            instructions: None,
            fields: Vec::new(),
        };
        form.with(FORM_TYPE, Some("hidden"), [form_type])
    }

    /// This form with words for people.
    #[must_use]
    pub fn explained(mut self, title: &str, instructions: &str) -> Self {
        self.title = Some(title.into());
        self.instructions = Some(instructions.into());
        self
    }

    /// This form with `field`.
    #[must_use]
    pub fn ask(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
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
            values,
            ..Field::default()
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
        let text = |name| element.child(ns::DATA_FORMS, name).map(Element::content);
        Some(Self {
            kind,
            title: text("title"),
            instructions: text("instructions"),
            fields: fields.map(Field::read).collect(),
        })
    }

    /// The `x` element.
    pub fn to_element(&self) -> Element {
        Element::new(ns::DATA_FORMS, "x")
            .with("type", self.kind.name())
            .extend(text("title", self.title.as_ref()))
            .extend(text("instructions", self.instructions.as_ref()))
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
    /// A field of type `kind` to be filled in.
    pub fn new(name: &str, kind: &str, label: &str) -> Self {
        Self {
            name: name.into(),
            kind: Some(kind.into()),
            label: Some(label.into()),
            ..Self::default()
        }
    }

    /// This field, which must be filled in.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// This field with values to choose from.
    #[must_use]
    pub fn of(self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        Self { options, ..self }
    }

    /// This field with values in it.
    #[must_use]
    pub fn holding(self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { values, ..self }
    }

    fn read(element: &Element) -> Self {
        let owned = |name| element.attribute(name).map(str::to_owned);
        let values = |element: &Element| -> Vec<String> {
            let values = element.children().filter(|child| child.is(ns::DATA_FORMS, "value"));
            values.map(Element::content).collect()
        };
        let options = element.children().filter(|child| child.is(ns::DATA_FORMS, "option"));
        Self {
            name: owned("var").unwrap_or_default(),
            kind: owned("type"),
            label: owned("label"),
            values: values(element),
            required: element.child(ns::DATA_FORMS, "required").is_some(),
            options: options.flat_map(values).collect(),
        }
    }

    fn to_element(&self) -> Element {
        Element::new(ns::DATA_FORMS, "field")
            .with("var", &self.name)
            .with_some("type", self.kind.as_deref())
            .with_some("label", self.label.as_deref())
            .extend(self.required.then(|| Element::new(ns::DATA_FORMS, "required")))
            .extend(text("value", &self.values))
            .extend(
                self.options
                    .iter()
                    .map(|option| Element::new(ns::DATA_FORMS, "option").extend(text("value", [option]))),
            )
    }
}

/// An element `name` for each text.
fn text<'a>(name: &'static str, texts: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = Element> {
    let element = move |text| Element::new(ns::DATA_FORMS, name).text(text);
    texts.into_iter().map(element)
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
        let form = Form::new(FormType::Form, "urn:example").explained("Bot", "Fill this in");
        let field = Field::new("colour", "list-single", "Which?").required();
        let form = form.ask(field.holding(["red"]).of(["red", "blue"]));
        assert_eq!(
            form.to_element().to_string(),
            "<x xmlns='jabber:x:data' type='form'><title>Bot</title><instructions>Fill this in</instructions>\
             <field var='FORM_TYPE' type='hidden'><value>urn:example</value></field>\
             <field var='colour' type='list-single' label='Which?'><required/><value>red</value>\
             <option><value>red</value></option><option><value>blue</value></option></field></x>"
        );
        assert_eq!(Form::read(&form.to_element()).as_ref(), Some(&form));
        assert_eq!(Form::read(&Element::new(ns::DATA_FORMS, "x").with("type", "odd")), None);
    }
}
