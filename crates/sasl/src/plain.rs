//! PLAIN (RFC 4616): reading the message.

use stanza::SaslFailure;
use zeroize::Zeroizing;

/// What a client says in PLAIN.
pub(crate) struct Message {
    pub(crate) authzid: Option<String>,
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
}

/// Reads `[authzid] NUL authcid NUL passwd`.
///
/// # Errors
/// `malformed-request`.
pub(crate) fn read(message: &[u8]) -> Result<Message, SaslFailure> {
    let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
    let mut parts = text.split('\0');
    let (Some(authzid), Some(username), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslFailure::MalformedRequest);
    };
    if username.is_empty() || password.is_empty() {
        return Err(SaslFailure::MalformedRequest);
    }
    Ok(Message {
        authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
        username: username.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    })
}
