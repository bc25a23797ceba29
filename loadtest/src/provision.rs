//! Makes accounts by in-band registration (XEP-0077), and contacts of them.

use std::time::Duration;

use tokio::time::timeout;
use xml::Element;

use crate::link::Link;
use crate::login::{Entered, Failure, Kept, Login, ask, connect, refusal};
use crate::world::{World, escaped};

const REGISTER: &str = "jabber:iq:register";

/// How long the end of a stream may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What became of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was there.
    Known,
    /// It is new.
    New,
}

/// Makes the account of a user, if there is none.
///
/// # Errors
/// When the server does not let it.
pub async fn register(world: &World, user: u32) -> Result<Made, Failure> {
    let (mut link, _) = connect(world, user, 0).await?;
    let (local, password) = world.account(user);
    let request = format!(
        "<iq type='set' id='register'><query xmlns='{REGISTER}'><username>{}</username><password>{}</password></query></iq>",
        escaped(&local),
        escaped(&password)
    );
    let answer = ask(&mut link, &request).await?;
    let made = match answer.attribute("type") {
        Some("result") => Ok(Made::New),
        _ if has_condition(&answer, "conflict") => Ok(Made::Known),
        _ => Err(refusal(&format!("registration of {local}"), &answer)),
    };
    close(link).await;
    made
}

fn has_condition(answer: &Element, name: &str) -> bool {
    let errors = answer.children().filter(|child| child.name() == "error");
    errors
        .flat_map(Element::children)
        .any(|condition| condition.name() == name)
}

/// Has a user ask all its contacts for their presence, and lets them have its own before they ask (RFC 6121, 3.1 and 3.4); when all users
/// have done so, each has subscriptions in both directions. Returns how many contacts it has.
///
/// # Errors
/// When it cannot log in, or an answer does not come.
pub async fn contacts(world: &World, user: u32) -> Result<usize, Failure> {
    let mut kept = Kept::default();
    let mut login = Login {
        world,
        user,
        nonce: format!("provision-{user:x}"),
        kept: &mut kept,
        former: None,
    };
    let (mut link, entered) = login.enter(0).await?;
    if let Entered::Resumed(_) = entered {
        return Err(Failure("nothing was to be resumed".to_owned()));
    }
    // Available, so that what contacts ask for comes here.
    link.output().extend_from_slice(b"<presence/>");
    let count = world.circle.count();
    for place in 0..count {
        let mut address = Vec::new();
        world.write_address(world.circle.contact(user, place), &mut address);
        for kind in ["subscribed", "subscribe"] {
            let out = link.output();
            out.extend_from_slice(b"<presence to='");
            out.extend_from_slice(&address);
            out.extend_from_slice(format!("' type='{kind}'/>").as_bytes());
        }
    }
    // All has been dealt with once this is answered.
    link.output()
        .extend_from_slice(b"<iq type='get' id='done'><query xmlns='jabber:iq:roster'/></iq>");
    while link.element().await?.attribute("id") != Some("done") {}
    close(link).await;
    Ok(count)
}

async fn close(mut link: Link) {
    link.output().extend_from_slice(b"</stream:stream>");
    let end = async { while link.element().await.is_ok() {} };
    // A server that does not answer is left all the same.
    let _ = timeout(GOODBYE, end).await;
}
