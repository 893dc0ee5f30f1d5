//! A root and the signing certificates under it.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SanType,
};

use super::CaError;
use super::options::{AuthorityOptions, MAX_INTERMEDIATES};

/// One signing certificate with its key. No `Debug`: it holds the key.
pub(super) struct Level {
    pub(super) params: CertificateParams,
    key: KeyPair,
    pub(super) der: Vec<u8>,
}

/// A root with the intermediates below it, nearest to the root first. No `Debug`: it holds keys.
pub(super) struct Hierarchy {
    pub(super) root: Level,
    pub(super) intermediates: Vec<Level>,
}

impl Level {
    pub(super) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// The identifier of this key as issued certificates name it.
    fn key_id(&self) -> Vec<u8> {
        self.params.key_identifier(&self.key)
    }
}

impl Hierarchy {
    pub(super) fn new(trust_domain: &str, options: &AuthorityOptions) -> Result<Self, CaError> {
        Self::build(trust_domain, options, &[])
    }

    /// The same names and key identifiers, other keys.
    pub(super) fn forged(
        &self,
        trust_domain: &str,
        options: &AuthorityOptions,
    ) -> Result<Self, CaError> {
        let key_ids: Vec<_> = std::iter::once(&self.root)
            .chain(&self.intermediates)
            .map(Level::key_id)
            .collect();
        Self::build(trust_domain, options, &key_ids)
    }

    /// The level that signs leaves.
    pub(super) fn signing(&self) -> &Level {
        self.intermediates.last().unwrap_or(&self.root)
    }

    fn build(
        trust_domain: &str,
        options: &AuthorityOptions,
        key_ids: &[Vec<u8>],
    ) -> Result<Self, CaError> {
        if options.intermediates > MAX_INTERMEDIATES {
            return Err(CaError::TooManyIntermediates {
                asked: options.intermediates,
                max: MAX_INTERMEDIATES,
            });
        }
        let mut key_ids = key_ids.iter().cloned();
        let root = make_level(trust_domain, options, 0, None, key_ids.next())?;
        let mut intermediates: Vec<Level> = Vec::with_capacity(options.intermediates);
        for depth in 1..=options.intermediates {
            let above = intermediates.last().unwrap_or(&root);
            let level = make_level(trust_domain, options, depth, Some(above), key_ids.next())?;
            intermediates.push(level);
        }
        Ok(Self {
            root,
            intermediates,
        })
    }
}

fn make_level(
    trust_domain: &str,
    options: &AuthorityOptions,
    depth: usize,
    above: Option<&Level>,
    key_id: Option<Vec<u8>>,
) -> Result<Level, CaError> {
    let key = KeyPair::generate_for(options.key.algorithm())?;
    let mut params = authority_params(trust_domain, depth)?;
    options.window.apply_to(&mut params)?;
    if let Some(key_id) = key_id {
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id);
    }
    let certificate = match above {
        None => params.self_signed(&key)?,
        Some(above) => {
            params.use_authority_key_identifier_extension = true;
            params.signed_by(&key, &above.issuer())?
        }
    };
    let der = certificate.der().to_vec();
    Ok(Level { params, key, der })
}

/// SPIRE's roots carry the trust domain's ID, keyCertSign and cRLSign, and all share one subject.
fn authority_params(trust_domain: &str, depth: usize) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject("SPIFFE");
    if depth > 0 {
        params.distinguished_name.push(
            DnType::OrganizationalUnitName,
            format!("DOWNSTREAM-{depth}"),
        );
    }
    params.subject_alt_names = vec![SanType::URI(
        format!("spiffe://{trust_domain}").as_str().try_into()?,
    )];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// `C=US, O=…`, the subject SPIRE writes unless told otherwise.
pub(super) fn subject(organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, organization);
    name
}
