//! The COSE envelope (RFC 9052): fixed headers around the payload, written in one way only.

use minicbor::data::{Int, Tag};
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use super::{MESSAGE_LEN_MAX, SignedTicket, Suite, TicketClaim, TicketError};
use crate::ids::Kid;
use crate::typ;

const TAG_SIGN1: u64 = 18;
const TAG_MAC0: u64 = 17;
const ALG_EDDSA: i8 = -8;
const ALG_HMAC_256_256: i8 = 5;
const LABEL_ALG: u8 = 1;
const LABEL_KID: u8 = 4;
const LABEL_TYP: u8 = 16;

/// Enough for the largest payload and for what is signed around it.
const SCRATCH_LEN: usize = MESSAGE_LEN_MAX;

impl Suite {
    const fn tag(self) -> u64 {
        match self {
            Self::Ed25519 => TAG_SIGN1,
            Self::Hmac256 => TAG_MAC0,
        }
    }

    const fn alg(self) -> i8 {
        match self {
            Self::Ed25519 => ALG_EDDSA,
            Self::Hmac256 => ALG_HMAC_256_256,
        }
    }

    const fn context(self) -> &'static str {
        match self {
            Self::Ed25519 => "Signature1",
            Self::Hmac256 => "MAC0",
        }
    }
}

/// The tagged message.
pub(super) fn message(ticket: &SignedTicket) -> Vec<u8> {
    let suite = ticket.suite();
    let payload = payload(&ticket.claim);
    written(|e| {
        e.tag(Tag::new(suite.tag()))?.array(4)?;
        e.bytes(&protected(ticket.kid, suite))?.map(0)?;
        e.bytes(&payload)?.bytes(ticket.proof.as_bytes())?.ok()
    })
}

/// `Sig_structure` or `MAC_structure`: the bytes that the proof covers.
pub(super) fn to_be_signed(claim: &TicketClaim, kid: Kid, suite: Suite) -> Vec<u8> {
    let payload = payload(claim);
    written(|e| {
        e.array(4)?.str(suite.context())?;
        e.bytes(&protected(kid, suite))?;
        e.bytes(&[])?.bytes(&payload)?.ok()
    })
}

/// Reads a message, then writes it again: what differs is not ours.
pub(super) fn parse(bytes: &[u8]) -> Result<SignedTicket, TicketError> {
    let (suite, protected, payload, proof) = envelope(bytes).map_err(|e| {
        if e.is_end_of_input() {
            TicketError::CutShort
        } else {
            TicketError::NotCose
        }
    })?;
    let suite = suite.ok_or(TicketError::NotCose)?;
    let (alg, kid, typ) = header(protected).map_err(|_| TicketError::NotCose)?;
    if alg != Int::from(suite.alg()) {
        return Err(TicketError::WrongAlgorithm);
    }
    if typ != typ::TICKET {
        return Err(TicketError::NotATicket { typ });
    }
    let claim = TicketClaim::decode_payload(payload).map_err(|_| TicketError::Unreadable)?;
    if claim.legs().is_none() {
        return Err(TicketError::NoJourney);
    }
    let ticket = SignedTicket::from_parts(claim, kid, suite, proof)?;
    if message(&ticket) == bytes {
        Ok(ticket)
    } else {
        Err(TicketError::NotCanonical)
    }
}

type Envelope<'b> = (Option<Suite>, &'b [u8], &'b [u8], &'b [u8]);

fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let mut d = Decoder::new(bytes);
    let suite = match d.tag()?.as_u64() {
        TAG_SIGN1 => Some(Suite::Ed25519),
        TAG_MAC0 => Some(Suite::Hmac256),
        _ => None,
    };
    d.array()?;
    let protected = d.bytes()?;
    d.map()?;
    Ok((suite, protected, d.bytes()?, d.bytes()?))
}

fn header(bytes: &[u8]) -> Result<(Int, Kid, u64), DecodeError> {
    let mut d = Decoder::new(bytes);
    d.map()?;
    label(&mut d, LABEL_ALG)?;
    let alg = d.int()?;
    label(&mut d, LABEL_KID)?;
    let kid = d.decode()?;
    label(&mut d, LABEL_TYP)?;
    Ok((alg, kid, d.u64()?))
}

fn label(d: &mut Decoder<'_>, expected: u8) -> Result<(), DecodeError> {
    if d.u8()? == expected {
        Ok(())
    } else {
        Err(DecodeError::message("a header is missing or out of order"))
    }
}

fn protected(kid: Kid, suite: Suite) -> Vec<u8> {
    written(|e| {
        e.map(3)?.u8(LABEL_ALG)?.i8(suite.alg())?;
        e.u8(LABEL_KID)?.bytes(&kid.0)?;
        e.u8(LABEL_TYP)?.u64(typ::TICKET)?.ok()
    })
}

fn payload(claim: &TicketClaim) -> Vec<u8> {
    written(|e| claim.encode_payload(e))
}

fn written<F>(write: F) -> Vec<u8>
where
    F: FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), EncodeError<<Vec<u8> as Write>::Error>>,
{
    let mut e = Encoder::new(Vec::with_capacity(SCRATCH_LEN));
    #[expect(clippy::expect_used, reason = "a Vec accepts every write")]
    write(&mut e).expect("a Vec accepts every write");
    e.into_writer()
}
