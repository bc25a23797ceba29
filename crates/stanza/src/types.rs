//! The values of `type` attributes.

use crate::stanza::{IqType, MessageType, PresenceType};

impl MessageType {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Error => "error",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Normal => "normal",
        }
    }

    /// The type that an attribute's value means; unknown ones count as `normal` (RFC 6121, 5.2.2).
    pub fn from_name(name: &str) -> Self {
        match name {
            "chat" => Self::Chat,
            "error" => Self::Error,
            "groupchat" => Self::Groupchat,
            "headline" => Self::Headline,
            _ => Self::Normal,
        }
    }
}

impl PresenceType {
    /// The attribute's value; `None` for available presence, which has no attribute.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Error => Some("error"),
            Self::Probe => Some("probe"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unavailable => Some("unavailable"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
        }
    }

    /// Whether it asks for a subscription, or changes one (RFC 6121, 3).
    pub fn is_subscription(self) -> bool {
        matches!(
            self,
            Self::Subscribe | Self::Subscribed | Self::Unsubscribe | Self::Unsubscribed
        )
    }

    /// The type that an attribute's value means, if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "probe" => Self::Probe,
            "subscribe" => Self::Subscribe,
            "subscribed" => Self::Subscribed,
            "unavailable" => Self::Unavailable,
            "unsubscribe" => Self::Unsubscribe,
            "unsubscribed" => Self::Unsubscribed,
            _ => return None,
        })
    }
}

impl IqType {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Error => "error",
        }
    }

    /// The type that an attribute's value means, if any.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "get" => Self::Get,
            "set" => Self::Set,
            "result" => Self::Result,
            "error" => Self::Error,
            _ => return None,
        })
    }
}
