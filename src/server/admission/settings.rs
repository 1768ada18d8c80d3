//! Which guards were asked for.

use super::source::AllowedSources;
use crate::error::ConfigError;
use crate::guard::{Access, AmplificationLimit, Networks, RateLimit, ReplyLoops, TokenSecret};

/// Values of the options for a hostile network. All are off by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuardSettings {
    pub(crate) sources: AllowedSources,
    pub(crate) refuse_responder_ports: bool,
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) deny: Vec<String>,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) amplification: Option<AmplificationLimit>,
    pub(crate) loops: Option<ReplyLoops>,
    pub(crate) token_secret: Option<TokenSecret>,
}

impl GuardSettings {
    /// Refuses what makes no sense, naming the option.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.access()?;
        self.trusted()?;
        if let Some(limit) = &self.rate {
            check_rate(limit)?;
        }
        if let Some(limit) = &self.amplification {
            named("amplification_limit", limit.check())?;
        }
        if let Some(loops) = &self.loops {
            named("break_reply_loops", loops.check())?;
        }
        if let Some(secret) = &self.token_secret {
            named("token_secret", secret.check())?;
        }
        Ok(())
    }

    /// Who may send at all.
    pub(super) fn access(&self) -> Result<Access, ConfigError> {
        Ok(Access {
            allow: self.allow.as_deref().map(allowed).transpose()?,
            deny: denied(&self.deny)?,
        })
    }

    /// Who may be sent anything.
    pub(super) fn trusted(&self) -> Result<Networks, ConfigError> {
        match &self.amplification {
            None => Ok(Networks::default()),
            Some(limit) => named("amplification_limit", limit.trusted()),
        }
    }
}

/// The networks that alone may send.
pub(crate) fn allowed(texts: &[String]) -> Result<Networks, ConfigError> {
    let option = "allow_networks";
    if texts.is_empty() {
        return Err(ConfigError::new(
            option,
            "an empty list would refuse everyone",
        ));
    }
    named(option, Networks::parse(texts))
}

/// The networks that may not.
pub(crate) fn denied(texts: &[String]) -> Result<Networks, ConfigError> {
    named("deny_networks", Networks::parse(texts))
}

/// Refuses a limit that makes no sense.
pub(crate) fn check_rate(limit: &RateLimit) -> Result<(), ConfigError> {
    named("rate_limit", limit.check())
}

fn named<T>(option: &'static str, checked: Result<T, String>) -> Result<T, ConfigError> {
    checked.map_err(|problem| ConfigError::new(option, problem))
}
