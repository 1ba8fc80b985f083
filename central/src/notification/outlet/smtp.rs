//! E-mail over SMTP. A message whose answer was lost goes again under the same Message-ID.

use std::pin::Pin;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Letter, Outlet};
use crate::config::MailConfig;
use crate::notification::rules::Outcome;

/// A mail server that takes messages for everybody.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// From the hub's settings.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(config: &MailConfig) -> Result<Self, String> {
        let from: Mailbox = config
            .from
            .parse()
            .map_err(|_| format!("`from` is no address: {:?}", config.from))?;
        let url = config.url.reveal();
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| "`url` is like smtp://user:password@host:587?tls=required".to_owned())?
            .timeout(Some(Duration::from_secs(config.answer_within_s.into())))
            .build();
        Ok(Self { transport, from })
    }

    fn message(&self, letter: &Letter) -> Result<Message, String> {
        let to: Mailbox = letter
            .to
            .parse()
            .map_err(|_| "it is no e-mail address".to_owned())?;
        let domain = self.from.email.domain();
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.title.replace(['\r', '\n'], " "))
            .message_id(Some(format!("<{}@{domain}>", letter.key)))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
            .map_err(|e| e.to_string())
    }

    async fn carry(&self, letter: &Letter) -> Outcome {
        let message = match self.message(letter) {
            Ok(message) => message,
            Err(why) => return Outcome::Refused(why),
        };
        match self.transport.send(message).await {
            Ok(_) => Outcome::Sent { id: None },
            Err(error) if error.is_permanent() => {
                let code = error.status().map(|code| code.to_string());
                let code = code.unwrap_or_default();
                Outcome::Refused(format!("the mail server refused it {code}"))
            }
            Err(error) if error.is_timeout() => Outcome::Unknown("no answer in time".to_owned()),
            // Without its text, which may hold the address.
            Err(_) => Outcome::Unknown("the mail server did not take it".to_owned()),
        }
    }
}

impl Outlet for Smtp {
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(self.carry(letter))
    }
}
