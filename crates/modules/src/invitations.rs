//! Invitations that users make from their clients (XEP-0401): commands that give a link by which somebody registers here, and becomes a contact.
//! Who may is said in `hosts.registration`, and so is how many; who comes by the link is the router's affair.

use std::sync::Arc;

use engine::{About, Access, At, Condition, Cx, Done, Hooks, Invitation, Module, Stage, StanzaError, Wish};
use stanza::form::{Field, Form, FormType};

/// The module.
pub(crate) struct Invitations;

impl Module for Invitations {
    const ABOUT: About = About {
        name: "invitations",
        rfcs: &[],
        xeps: &[(401, "0.6.0")],
        summary: "Lets users invite others: to be contacts, to make an account.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let (at, who) = (At::Server, Access::Inviters);
        on.command(at, (INVITE, "Invite user"), who, |cx, _| issue(cx, Wish::Contact));
        on.command(at, (CREATE, "Create account"), who, create_account);
    }
}

/// XEP-0401, 5.4: a name that was left empty is chosen by who is invited.
async fn create_account(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(Stage::Form {
            form: ask(),
            last: true,
        });
    };
    let user = form.value("username").filter(|name| !name.is_empty());
    let wish = Wish::Account {
        user: user.map(str::to_owned),
        befriend: matches!(form.value("roster-subscription"), Some("1" | "true")),
    };
    issue(cx, wish).await
}

fn ask() -> Form {
    Form::new(FormType::Form, CREATE)
        .explained(
            "Inviting to an account",
            "Fill out this form to get a link by which somebody makes an account here.",
        )
        .ask(Field::new(
            "username",
            "text-single",
            "Username, if it is not to be chosen",
        ))
        .ask(Field::new("roster-subscription", "boolean", "Roster subscription"))
}

async fn issue(cx: Cx, wish: Wish) -> Result<Stage, StanzaError> {
    let by = cx.asker().ok_or(Condition::Forbidden)?;
    let invitation = cx.invites.invite(&cx.host, &by, wish, cx.now).await?;
    Ok(Stage::Done(Done {
        result: Some(show(invitation).to_element()),
        ..Done::default()
    }))
}

/// XEP-0401, 5.1.
fn show(invitation: Invitation) -> Form {
    let text = Some("text-single");
    let form = Form::new(FormType::Result, "urn:xmpp:invite#invitation").with("uri", text, [invitation.uri]);
    let form = match invitation.landing_url {
        Some(url) => form.with("landing-url", text, [url]),
        None => form,
    };
    form.with("expire", text, [invitation.expires.to_xmpp()])
}

const INVITE: &str = "urn:xmpp:invite#invite";
const CREATE: &str = "urn:xmpp:invite#create-account";
