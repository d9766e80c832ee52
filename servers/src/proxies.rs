//! Who a client is behind proxies: the address that a trusted one forwards for, else the peer itself.
//!
//! `X-Forwarded-For` grows from the left, and everything left of what a trusted proxy wrote may be made up, so it is read
//! from the right as far as the addresses are those of trusted proxies.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The header that proxies write.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// How many proxies one behind the other are followed.
const HOPS_MAX: usize = 16;

/// The networks whose `X-Forwarded-For` counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Parses networks and addresses with commas between them; the error says which one is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect::<Result<_, _>>().map(Self)
    }

    /// The address that a request counts for.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
        let lines: Vec<&str> = lines.collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX);
        while self.0.iter().any(|network| network.contains(&client)) {
            let Some(forwarded) = hops.next().and_then(address) else { break };
            client = forwarded;
        }
        client
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    parsed
        .ok_or_else(|| format!("{text:?} is neither a network nor an address; write one like 10.0.0.0/8 or 192.0.2.7"))
}

/// An address as proxies write it, some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            One(String),
            Many(Vec<String>),
        }
        let text = match Text::deserialize(deserializer)? {
            Text::One(text) => text,
            Text::Many(texts) => texts.join(","),
        };
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl Serialize for Proxies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(IpNet::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        Proxies::parse(trusted).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        let all = "10.0.0.0/8, 192.0.2.7,2001:db8::/32";
        for (trusted, peer, lines, expected) in [
            ("", "10.0.0.1", &["198.51.100.1"][..], "10.0.0.1"),
            (all, "203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            (all, "10.0.0.1", &[], "10.0.0.1"),
            (all, "10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            (all, "::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What stands left of an untrusted address is made up.
            (all, "10.0.0.1", &["10.9.9.9, 203.0.113.5, 198.51.100.1,10.0.0.2"], "198.51.100.1"),
            (all, "10.0.0.1", &["203.0.113.5", "198.51.100.1, 192.0.2.7"], "198.51.100.1"),
            (all, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (all, "10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (all, "10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            (all, "2001:db8::1", &["[2001:470::5]:80"], "2001:470::5"),
            (all, "2001:db8::1", &["[2001:470::5]"], "2001:470::5"),
        ] {
            assert_eq!(client(trusted, peer, lines), expected, "{trusted:?} {peer} {lines:?}");
        }
    }

    #[test]
    fn networks_are_parsed_or_named() {
        for bad in ["10.0.0.0/33", "proxy.example", "10.0.0.1,x"] {
            assert!(Proxies::parse(bad).unwrap_err().contains("10.0.0.0/8"), "{bad}");
        }
        assert_eq!(Proxies::parse(" ").unwrap(), Proxies::default());
    }
}
