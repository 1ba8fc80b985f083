use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::ids::{
    Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, SaleOrdinal, SeatNo, StopSeq, TicketId,
    TripId,
};
use crate::passenger::PassengerClass;
use crate::time::Instant;
use crate::trip::LEGS_MAX;

const TRIP_KEY: [u8; 32] = [9; 32];

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn node() -> Issuer {
    Issuer::Node(NodeId::from_bytes([3; 16]))
}

fn public_record() -> KeyRecord {
    KeyRecord::signing(node(), signing_key().verifying_key())
}

fn sample() -> TicketClaim {
    TicketClaim {
        id: TicketId(uuid::uuid!("019aac1e-5c00-7abc-8def-0123456789ab")),
        trip: TripId(4021),
        seat: SeatNo(17),
        from: StopSeq(0),
        to: StopSeq(3),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_795_384_800_000),
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(7),
        }),
        layout_version: LayoutVersion(1),
        test: false,
    }
}

fn largest() -> TicketClaim {
    TicketClaim {
        id: TicketId::from_bytes([0xff; 16]),
        trip: TripId(u64::MAX),
        seat: SeatNo(u16::MAX),
        from: StopSeq(LEGS_MAX - 1),
        to: StopSeq(LEGS_MAX),
        class: PassengerClass::Prm,
        ordinal: SaleOrdinal(u16::MAX),
        issued_at: Instant(i64::MAX),
        lease: Some(TicketLease {
            no: LeaseNo(u16::MAX),
            epoch: LeaseEpoch(u32::MAX),
        }),
        layout_version: LayoutVersion(u16::MAX.into()),
        test: true,
    }
}

/// As a hub that was restored sells it after a swap: trips have numbers of 32 bits for long.
fn largest_of_a_swap() -> TicketClaim {
    TicketClaim {
        trip: TripId(u32::MAX.into()),
        layout_version: LayoutVersion(u32::MAX),
        ..largest()
    }
}

fn signed(claim: &TicketClaim) -> SignedTicket {
    let key = signing_key();
    sign_ticket(claim, signing_kid(&key.verifying_key()), &key)
}

fn maced(claim: &TicketClaim) -> (SignedTicket, KeyRecord) {
    let key = mac_key(&TRIP_KEY, claim.trip, node());
    (
        mac_ticket(claim, mac_kid(claim.trip, node()), &key),
        KeyRecord::mac(node(), claim.trip, &TRIP_KEY),
    )
}

prop_compose! {
    fn claims()(
        id in any::<[u8; 16]>(),
        (trip, layout) in prop_oneof![
            (any::<u64>(), any::<u16>().prop_map(u32::from)),
            (any::<u32>().prop_map(u64::from), any::<u32>()),
        ],
        (seat, ordinal) in any::<(u16, u16)>(),
        (from, to) in (0..LEGS_MAX).prop_flat_map(|from| (Just(from), from + 1..=LEGS_MAX)),
        class in proptest::sample::select(PassengerClass::ALL.to_vec()),
        issued_at in any::<i64>(),
        lease in any::<Option<(u16, u32)>>(),
        test in any::<bool>(),
        shift in 0_u32..64,
    ) -> TicketClaim {
        TicketClaim {
            id: TicketId::from_bytes(id),
            trip: TripId(trip >> shift),
            seat: SeatNo(seat),
            from: StopSeq(from),
            to: StopSeq(to),
            class,
            ordinal: SaleOrdinal(ordinal),
            issued_at: Instant(issued_at >> shift),
            lease: lease.map(|(no, epoch)| TicketLease {
                no: LeaseNo(no),
                epoch: LeaseEpoch(epoch),
            }),
            layout_version: LayoutVersion(layout),
            test,
        }
    }
}

proptest! {
    #[test]
    fn a_ticket_reads_back_and_verifies_in_both_suites(claim in claims()) {
        let ticket = signed(&claim);
        let read = parse_qr(&ticket.to_qr()).unwrap();
        prop_assert_eq!(read, ticket);
        prop_assert_eq!(read.claim, claim.normalised());
        prop_assert_eq!(verify(&read, &public_record()), Ok(()));

        let (ticket, record) = maced(&claim);
        let read = parse_qr(&ticket.to_qr()).unwrap();
        prop_assert_eq!(read, ticket);
        prop_assert_eq!(verify(&read, &record), Ok(()));
    }

    #[test]
    fn a_ticket_rebuilt_from_a_log_has_the_same_text(claim in claims()) {
        for ticket in [signed(&claim), maced(&claim).0] {
            let rebuilt = SignedTicket::from_parts(
                claim, ticket.kid, ticket.suite(), ticket.proof.as_bytes(),
            );
            prop_assert_eq!(rebuilt.unwrap().to_qr(), ticket.to_qr());
        }
    }

    #[test]
    fn no_ticket_is_larger_than_the_largest(claim in claims()) {
        prop_assert!(signed(&claim).to_message().len() <= signed(&largest()).to_message().len());
    }

    /// Mutations of a good message, so that many get past the first checks.
    #[test]
    fn whatever_parses_writes_itself_again(
        claim in claims(),
        edits in proptest::collection::vec((0..MESSAGE_LEN_MAX, any::<u8>(), 0_u8..3), 0..4),
    ) {
        let mut bytes = signed(&claim).to_message();
        for (at, byte, how) in edits {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(ticket) = parse_message(&bytes) {
            prop_assert_eq!(ticket.to_message(), bytes);
        }
    }

    #[test]
    fn any_text_is_refused_or_is_the_one_text_of_its_ticket(text in "(MW1:)?[0-9A-Z $%*+./:-]{0,250}") {
        if let Ok(ticket) = parse_qr(&text) {
            prop_assert_eq!(ticket.to_qr(), text);
        }
    }
}

#[test]
fn the_largest_ticket_fits_a_version_8_code() {
    let ticket = signed(&largest());
    assert_eq!(ticket.to_message().len(), 143);
    for ticket in [ticket, signed(&largest_of_a_swap()), signed(&sample())] {
        let text = ticket.to_qr();
        assert!(text.bytes().all(|c| BASE45_ALPHABET.contains(&c)));
        let code = qrcode::QrCode::with_error_correction_level(&text, qrcode::EcLevel::M).unwrap();
        assert_eq!(code.version(), qrcode::Version::Normal(8), "{}", text.len());
    }
    let full = format!("{QR_PREFIX}{}", "A".repeat(QR_LEN_MAX - QR_PREFIX.len()));
    let code = qrcode::QrCode::with_error_correction_level(&full, qrcode::EcLevel::M).unwrap();
    assert_eq!(code.version(), qrcode::Version::Normal(8));
}

#[test]
fn no_single_changed_character_verifies() {
    let (mac, mac_record) = maced(&sample());
    for (ticket, record) in [(signed(&sample()), public_record()), (mac, mac_record)] {
        let text = ticket.to_qr().into_bytes();
        let mut tried = 0;
        for at in 0..text.len() {
            for &c in BASE45_ALPHABET.iter().filter(|&&c| c != text[at]) {
                let mut changed = text.clone();
                changed[at] = c;
                let changed = String::from_utf8(changed).unwrap();
                let outcome = parse_qr(&changed).and_then(|t| verify(&t, &record));
                assert!(
                    outcome.is_err(),
                    "character {at} changed to {:?}",
                    char::from(c)
                );
                tried += 1;
            }
        }
        assert_eq!(tried, text.len() * 44);
    }
}

#[test]
fn the_key_record_decides_the_algorithm() {
    let claim = sample();
    let record = public_record();
    let KeyMaterial::Ed25519(public) = &record.material else {
        panic!("a signing record holds a public key");
    };
    // The classic confusion: a MAC made with the public key's bytes as the secret.
    let forged = mac_ticket(&claim, record.kid, public.as_bytes());
    assert_eq!(verify(&forged, &record), Err(TicketError::WrongAlgorithm));

    let (_, mac_record) = maced(&claim);
    let forged = sign_ticket(&claim, mac_record.kid, &signing_key());
    assert_eq!(
        verify(&forged, &mac_record),
        Err(TicketError::WrongAlgorithm)
    );
}

#[test]
fn a_message_whose_header_and_tag_disagree_is_refused() {
    let mut sign1 = signed(&sample()).to_message();
    assert_eq!(&sign1[..6], [0xd2, 0x84, 0x4b, 0xa3, 0x01, 0x27]);
    sign1[5] = 0x05;
    assert_eq!(parse_message(&sign1), Err(TicketError::WrongAlgorithm));
    sign1[5] = 0x27;
    sign1[0] = 0xd1;
    assert_eq!(parse_message(&sign1), Err(TicketError::WrongAlgorithm));
    sign1[0] = 0xd3;
    assert_eq!(parse_message(&sign1), Err(TicketError::NotCose));
}

#[test]
fn something_else_signed_with_the_same_key_is_no_ticket() {
    let mut message = signed(&sample()).to_message();
    assert_eq!(&message[12..14], [0x10, 0x01]);
    message[13] = crate::typ::GRANT as u8;
    assert_eq!(
        parse_message(&message),
        Err(TicketError::NotATicket {
            typ: crate::typ::GRANT
        })
    );
}

#[test]
fn another_way_of_writing_the_same_ticket_is_refused_though_properly_signed() {
    let key = signing_key();
    let good = signed(&sample());
    let payload = {
        let mut e = minicbor::Encoder::new(Vec::new());
        good.claim.encode_payload(&mut e).unwrap();
        e.into_writer()
    };
    let resigned = |payload: &[u8]| {
        let protected = [
            &[0xa3, 0x01, 0x27, 0x04, 0x44],
            &good.kid.0[..],
            &[0x10, 0x01],
        ]
        .concat();
        let mut signed = minicbor::Encoder::new(Vec::new());
        signed.array(4).unwrap().str("Signature1").unwrap();
        signed.bytes(&protected).unwrap().bytes(&[]).unwrap();
        signed.bytes(payload).unwrap();
        let proof = key.sign(signed.writer()).to_bytes();
        let mut message = minicbor::Encoder::new(vec![0xd2]);
        message.array(4).unwrap().bytes(&protected).unwrap();
        message.map(0).unwrap().bytes(payload).unwrap();
        message.bytes(&proof).unwrap();
        message.into_writer()
    };
    assert_eq!(parse_message(&resigned(&payload)), Ok(good));

    // Map head, then key 1 and the trip 4021 as 19 0f b5.
    assert_eq!(&payload[19..23], [0x01, 0x19, 0x0f, 0xb5]);
    let long_integer = [&payload[..20], &[0x1a, 0, 0], &payload[21..]].concat();
    let long_key = [&payload[..19], &[0x18, 0x01], &payload[20..]].concat();
    let open_map = [&[0xbf], &payload[1..], &[0xff]].concat();
    let trailing = [&payload[..], &[0x00]].concat();
    for (other, error) in [
        (long_integer, TicketError::NotCanonical),
        (long_key, TicketError::NotCanonical),
        (trailing, TicketError::NotCanonical),
        (open_map, TicketError::Unreadable),
    ] {
        assert_eq!(parse_message(&resigned(&other)), Err(error));
    }

    let mut message = good.to_message();
    message.push(0);
    assert_eq!(parse_message(&message), Err(TicketError::NotCanonical));
    message.pop();
    assert_eq!(message[14], 0xa0);
    message.splice(14..15, [0xbf, 0xff]);
    assert!(parse_message(&message).is_err());
}

/// With a key that is the neutral element, this signature satisfies the bare equation for every
/// message; only the strict check refuses it.
#[test]
fn a_key_of_small_order_verifies_nothing() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&neutral).unwrap();
    let record = KeyRecord::signing(node(), key);
    let mut proof = [0; 64];
    proof[0] = 1;
    let ticket = SignedTicket {
        kid: record.kid,
        claim: sample(),
        proof: Proof::Ed25519(proof),
    };
    let lenient =
        ed25519_dalek::Verifier::verify(&key, b"anything", &Signature::from_bytes(&proof));
    assert!(lenient.is_ok());
    assert_eq!(
        verify(&ticket, &record),
        Err(TicketError::SignatureMismatch)
    );
}

#[test]
fn a_mac_key_checks_tickets_of_its_own_trip_and_issuer_only() {
    let (ticket, record) = maced(&sample());
    let elsewhere = KeyRecord {
        trip: Some(TripId(1)),
        ..record.clone()
    };
    assert_eq!(
        verify(&ticket, &elsewhere),
        Err(TicketError::KeyOfAnotherTrip)
    );
    let other_issuer = KeyRecord {
        kid: record.kid,
        ..KeyRecord::mac(Issuer::Hub, sample().trip, &TRIP_KEY)
    };
    assert_eq!(
        verify(&ticket, &other_issuer),
        Err(TicketError::SignatureMismatch)
    );
}

#[test]
fn each_bad_text_says_what_is_wrong_with_it() {
    let text = signed(&sample()).to_qr();
    let too_far = TicketClaim {
        to: StopSeq(LEGS_MAX + 1),
        ..sample()
    };
    let backwards = TicketClaim {
        from: StopSeq(3),
        to: StopSeq(3),
        ..sample()
    };
    for (bad, error) in [
        (String::new(), TicketError::NotOurs),
        ("https://example.org".to_owned(), TicketError::NotOurs),
        (format!("{text}{text}"), TicketError::TooLong),
        (
            text.replacen("MW1:", "MW1: é", 1),
            TicketError::NotBase45 { position: 6 },
        ),
        (signed(&backwards).to_qr(), TicketError::NoJourney),
        (signed(&too_far).to_qr(), TicketError::NoJourney),
    ] {
        assert_eq!(parse_qr(&bad), Err(error), "{bad}");
    }
    assert_eq!(parse_qr(&text.to_lowercase()), Err(TicketError::NotOurs));
    for len in QR_PREFIX.len()..text.len() {
        assert_eq!(parse_qr(&text[..len]), Err(TicketError::CutShort), "{len}");
    }
    let lower = format!("MW1:{}", text[4..].to_lowercase());
    assert!(matches!(
        parse_qr(&lower),
        Err(TicketError::NotBase45 { .. })
    ));
    assert_eq!(
        SignedTicket::from_parts(sample(), signed(&sample()).kid, Suite::Ed25519, &[0; 32]),
        Err(TicketError::ProofLength { len: 32 })
    );
}
