//! No webhook reaches into this machine's own or private networks: the name is looked up once,
//! every address it stands for is judged, and the connection goes to those addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// The longest address of an endpoint, in bytes.
const URL_BYTES_MAX: usize = 500;

/// Why an endpoint's address is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// It is no address, or of another scheme.
    #[error(
        "the endpoint has to be an https address of at most 500 characters, without user, password and fragment"
    )]
    NotHttps,
    /// It leads to where only insiders get.
    #[error("the endpoint leads into a private network, where this hub sends nothing")]
    Private,
    /// Its name stands for nothing.
    #[error("the endpoint's name cannot be looked up")]
    Unknown,
}

/// An address that may be written to, as far as its text says.
pub fn check_address(text: &str, allow_private: bool) -> Result<Url, Forbidden> {
    let url = Url::parse(text).map_err(|_| Forbidden::NotHttps)?;
    let scheme = url.scheme() == "https" || (allow_private && url.scheme() == "http");
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !scheme || !plain || text.len() > URL_BYTES_MAX || url.host_str().is_none() {
        return Err(Forbidden::NotHttps);
    }
    let literal = url.host_str().unwrap_or_default();
    let literal = literal.trim_matches(['[', ']']).parse::<IpAddr>();
    if let Ok(ip) = literal
        && !allow_private
        && !is_public(ip)
    {
        return Err(Forbidden::Private);
    }
    Ok(url)
}

/// The addresses to connect to.
pub async fn look_up(url: &Url, allow_private: bool) -> Result<Vec<SocketAddr>, Forbidden> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|_| Forbidden::Unknown)?.collect();
    if found.is_empty() {
        return Err(Forbidden::Unknown);
    }
    // One private address among them is one too many: the connection could go to any.
    if !allow_private && !found.iter().all(|address| is_public(address.ip())) {
        return Err(Forbidden::Private);
    }
    Ok(found)
}

/// Whether an address is one of the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        // Carrier-grade NAT, IETF assignments, benchmarking.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let first = ip.segments()[0];
    // Global unicast only; without 6to4, Teredo and documentation, which hide or hold others.
    let global = (0x2000..0x4000).contains(&first);
    let tunnelled = first == 0x2002 || (first == 0x2001 && ip.segments()[1] < 0x0200);
    let documentation = first == 0x2001 && ip.segments()[1] == 0x0db8;
    global && !tunnelled && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_however_they_are_written() {
        for private in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
        ] {
            let judged = check_address(private, false);
            assert_eq!(judged, Err(Forbidden::Private), "{private}");
        }
        for wrong in [
            "http://example.com/",
            "ftp://example.com/",
            "https://a@b/",
            "x",
        ] {
            assert_eq!(
                check_address(wrong, false),
                Err(Forbidden::NotHttps),
                "{wrong}"
            );
        }
        assert!(check_address("https://hooks.example.com/in?x=1", false).is_ok());
        assert!(check_address("http://127.0.0.1:9/", true).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_refused() {
        let url = check_address("https://localhost/", false).unwrap();
        assert_eq!(look_up(&url, false).await, Err(Forbidden::Private));
    }
}
