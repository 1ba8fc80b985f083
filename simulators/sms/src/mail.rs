//! A mail server that keeps what it is given: as much of SMTP (RFC 5321) as a sender needs.

use std::io;
use std::net::SocketAddr;

use sim_kit::{Stored, now_ms};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{Arrived, Book};

/// The longest line and the largest message, in bytes.
const LINE_BYTES_MAX: u64 = 4_096;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A mail server inside another program; it ends when this is dropped.
#[derive(Debug)]
pub struct MailSink {
    /// Where it is.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl MailSink {
    /// Listens on a port of this machine that the system chooses.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(book: Stored<Book>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            address: listener.local_addr()?,
            serving: tokio::spawn(serve(listener, book)),
        })
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes connections for ever.
pub async fn serve(listener: TcpListener, book: Stored<Book>) {
    while let Ok((stream, _)) = listener.accept().await {
        let book = book.clone();
        tokio::spawn(async move {
            // A client that breaks off has told us nothing.
            let _ = talk(stream, book).await;
        });
    }
}

#[derive(Debug, Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

async fn line(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut text = String::new();
    let count = reader.take(LINE_BYTES_MAX).read_line(&mut text).await?;
    Ok((count > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn say(reader: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    let stream = reader.get_mut();
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await
}

async fn talk(stream: TcpStream, book: Stored<Book>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    say(&mut reader, "220 sim-sms ready").await?;
    let mut envelope = Envelope::default();
    while let Some(command) = line(&mut reader).await? {
        let upper = command.to_ascii_uppercase();
        let address = || {
            let inner = command
                .split_once('<')
                .and_then(|(_, rest)| rest.split_once('>'));
            inner.map(|(address, _)| address.to_owned())
        };
        let word = upper.split([' ', ':']).next().unwrap_or_default();
        match word {
            "EHLO" | "HELO" => say(&mut reader, "250 sim-sms").await?,
            "MAIL" => {
                envelope = Envelope {
                    from: address().unwrap_or_default(),
                    to: vec![],
                };
                say(&mut reader, "250 OK").await?;
            }
            "RCPT" => match address() {
                // As with phones: magic mailboxes.
                Some(to) if to.starts_with("nobody@") => {
                    say(&mut reader, "550 no such mailbox").await?;
                }
                Some(to) if to.starts_with("busy@") => {
                    say(&mut reader, "451 try again later").await?;
                }
                Some(to) => {
                    envelope.to.push(to);
                    say(&mut reader, "250 OK").await?;
                }
                None => say(&mut reader, "501 no address").await?,
            },
            "DATA" => {
                say(&mut reader, "354 end with a dot").await?;
                let Some(text) = message(&mut reader).await? else {
                    return say(&mut reader, "552 too large").await;
                };
                keep(&book, &envelope, &text);
                say(&mut reader, "250 kept").await?;
            }
            "RSET" | "NOOP" => say(&mut reader, "250 OK").await?,
            "QUIT" => return say(&mut reader, "221 bye").await,
            _ => say(&mut reader, "502 not here").await?,
        }
    }
    Ok(())
}

/// Up to the dot; `None` where it is too large.
async fn message(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut text = String::new();
    while let Some(one) = line(reader).await? {
        if one == "." {
            return Ok(Some(text));
        }
        text.push_str(one.strip_prefix('.').unwrap_or(&one));
        text.push('\n');
        if text.len() > MESSAGE_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(None)
}

fn keep(book: &Stored<Book>, envelope: &Envelope, message: &str) {
    let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
    let header = |wanted: &str| {
        let mut lines = head.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if !name.eq_ignore_ascii_case(wanted) {
                continue;
            }
            let mut value = value.trim().to_owned();
            while let Some(more) = lines.next_if(|l| l.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return Some(value);
        }
        None
    };
    let quoted = header("Content-Transfer-Encoding")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("quoted-printable"));
    let text = if quoted {
        unquoted(body)
    } else {
        body.to_owned()
    };
    book.change(|book| {
        for to in &envelope.to {
            let id = header("Message-ID").unwrap_or_default();
            let known = book.keys.insert(format!("{id} {to}"), id.clone());
            book.repeated += u64::from(known.is_some());
            book.messages.push(Arrived {
                channel: "email".to_owned(),
                id: id.clone(),
                to: to.clone(),
                from: envelope.from.clone(),
                subject: header("Subject"),
                text: text.trim_end().to_owned(),
                key: Some(id),
                at_ms: now_ms(),
            });
        }
    });
}

/// Quoted-printable (RFC 2045), read kindly.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = joined.bytes();
    let mut out = vec![];
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next().unwrap_or(b'3'), bytes.next().unwrap_or(b'F')];
        let hex = std::str::from_utf8(&digits).unwrap_or("3F");
        out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_kept_once_per_mailbox_with_its_text_readable() {
        let book: Stored<Book> = Stored::open(None).unwrap();
        let envelope = Envelope {
            from: "tickets@example.com".to_owned(),
            to: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
        };
        let text = "Subject: Your\n tickets\nMessage-ID: <1@x>\n\
                    Content-Transfer-Encoding: quoted-printable\n\nD=C3=A9part =\n6h\n";
        keep(&book, &envelope, text);
        let kept = book.look(|b| b.messages.clone());
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].subject.as_deref(), Some("Your tickets"));
        assert_eq!(kept[1].text, "Départ 6h");
        assert_eq!(book.look(|b| b.repeated), 0);
        keep(&book, &envelope, text);
        assert_eq!(book.look(|b| b.repeated), 2);
    }
}
