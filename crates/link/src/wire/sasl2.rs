//! What comes with a login under SASL2.

use ::stanza::{ClientId, FastUse, Sasl2, UserAgent};
use bytes::Bytes;

use super::address::Malformed;
use super::pb;

pub(crate) fn sasl2_to(sasl2: Sasl2) -> pb::sasl_request::Sasl2 {
    use pb::sasl_request::{Fast, UserAgent};
    pb::sasl_request::Sasl2 {
        agent: Some(UserAgent {
            id: client_to(sasl2.agent.id),
            software: sasl2.agent.software,
            device: sasl2.agent.device,
        }),
        fast: sasl2
            .fast
            .map(|FastUse { count, invalidate }| Fast { count, invalidate }),
        request_token: sasl2.request_token,
        resumes: sasl2.resumes,
    }
}

pub(crate) fn sasl2_from(sasl2: pb::sasl_request::Sasl2) -> Result<Sasl2, Malformed> {
    let agent = sasl2.agent.unwrap_or_default();
    Ok(Sasl2 {
        agent: UserAgent {
            id: client_from(&agent.id)?,
            software: agent.software,
            device: agent.device,
        },
        fast: sasl2.fast.map(|fast| FastUse {
            count: fast.count,
            invalidate: fast.invalidate,
        }),
        request_token: sasl2.request_token,
        resumes: sasl2.resumes,
    })
}

/// 16 bytes, or none.
pub(crate) fn client_to(client: Option<ClientId>) -> Bytes {
    client.map_or_else(Bytes::new, |client| {
        Bytes::copy_from_slice(&client.bits().to_be_bytes())
    })
}

pub(crate) fn client_from(bytes: &[u8]) -> Result<Option<ClientId>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bits = bytes.try_into().map_err(|_| Malformed("client id"))?;
    ClientId::from_bits(u128::from_be_bytes(bits))
        .map(Some)
        .ok_or(Malformed("client id"))
}
