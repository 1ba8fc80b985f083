//! Lines as text: Google's encoded polyline with five decimals, which every map can read.

use super::geo::Place;
use super::line::LINE_POINTS_MAX;

/// Of a degree: how exact the text is, against how places are stored.
const E7_PER_E5: i32 = 100;
/// A number that leads from one end of the globe to the other has 27 bits: six characters.
const CHARS_MAX: u32 = 6;

/// Why a text is no polyline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPolyline {
    /// A character that none has, a number too long, or an end in the midst of one.
    #[error("at character {0} it is no encoded polyline with five decimals")]
    Garbled(usize),
    /// A place off the globe.
    #[error(
        "at character {0} it leaves the globe: encode latitude before longitude, with five decimals"
    )]
    OffGlobe(usize),
    /// More places than are read.
    #[error("it has more than {LINE_POINTS_MAX} places")]
    TooMany,
}

/// Places as text, each rounded to hundred-thousandths of a degree.
pub fn to_polyline(places: impl IntoIterator<Item = Place>) -> String {
    let mut text = String::new();
    let (mut lat, mut lon) = (0, 0);
    for place in places {
        let place = place.to_e5();
        let at = (place.lat_e7() / E7_PER_E5, place.lon_e7() / E7_PER_E5);
        put(&mut text, at.0 - lat);
        put(&mut text, at.1 - lon);
        (lat, lon) = at;
    }
    text
}

fn put(text: &mut String, number: i32) {
    let mut rest = ((number << 1) ^ (number >> 31)) as u32;
    while rest >= 0x20 {
        text.push(char::from((0x20 | (rest & 0x1f)) as u8 + 63));
        rest >>= 5;
    }
    text.push(char::from(rest as u8 + 63));
}

/// The places of a text.
pub fn of_polyline(text: &str) -> Result<Vec<Place>, NoPolyline> {
    let bytes = text.as_bytes();
    let (mut places, mut at) = (vec![], 0);
    let (mut lat, mut lon) = (0_i32, 0_i32);
    while at < bytes.len() {
        if places.len() >= LINE_POINTS_MAX {
            return Err(NoPolyline::TooMany);
        }
        let begins = at;
        // Six characters hold 30 bits, and what is added to stays on the globe.
        lat += take(bytes, &mut at)?;
        lon += take(bytes, &mut at)?;
        let e7 = |e5: i32| e5.checked_mul(E7_PER_E5);
        let place = e7(lat)
            .zip(e7(lon))
            .and_then(|(lat, lon)| Place::new(lat, lon));
        places.push(place.ok_or(NoPolyline::OffGlobe(begins))?);
    }
    Ok(places)
}

fn take(bytes: &[u8], at: &mut usize) -> Result<i32, NoPolyline> {
    let begins = *at;
    let mut number = 0_u32;
    for no in 0..CHARS_MAX {
        let byte = bytes.get(*at).and_then(|byte| byte.checked_sub(63));
        let byte = byte
            .filter(|byte| *byte < 64)
            .ok_or(NoPolyline::Garbled(*at))?;
        *at += 1;
        number |= u32::from(byte & 0x1f) << (5 * no);
        if byte < 0x20 {
            return Ok((number >> 1) as i32 ^ -((number & 1) as i32));
        }
    }
    Err(NoPolyline::Garbled(begins))
}
