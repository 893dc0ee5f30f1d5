//! One trust domain's authority: what it publishes, what it signs.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::CaError;
use super::hierarchy::{Hierarchy, subject};
use super::options::{AuthorityOptions, Defect, SvidOptions, Window};
use super::svid::IssuedSvid;

/// What becomes of the old root when a new one signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The old root stays in the bundle beside the new one: SVIDs it signed stay good.
    Overlapping,
    /// Only the new root is published, as after a compromise: what the old ones signed is void.
    Abrupt,
}

/// The authority of one trust domain. A clone shares the keys and rotates on its own.
#[derive(Clone)]
pub struct Authority {
    trust_domain: String,
    options: AuthorityOptions,
    current: Arc<Hierarchy>,
    /// DER of every published root, oldest first.
    anchors: Vec<Vec<u8>>,
}

impl Authority {
    /// A fresh authority for `trust_domain` (the bare name, `example.org`), publishing one root.
    ///
    /// # Errors
    /// A window past the year 9999, too many intermediates, or a name a certificate cannot carry.
    pub fn new(trust_domain: &str, options: AuthorityOptions) -> Result<Self, CaError> {
        let current = Hierarchy::new(trust_domain, &options)?;
        let anchors = vec![current.root.der.clone()];
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            options,
            current: Arc::new(current),
            anchors,
        })
    }

    /// The bare name of the trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The name as the Workload API's maps are keyed: `spiffe://example.org`.
    #[must_use]
    pub fn bundle_key(&self) -> String {
        format!("spiffe://{}", self.trust_domain)
    }

    /// The published roots, oldest first, each in DER.
    #[must_use]
    pub fn anchors(&self) -> &[Vec<u8>] {
        &self.anchors
    }

    /// The bundle as the Workload API carries it: DER certificates with nothing between them.
    #[must_use]
    pub fn anchors_der(&self) -> Vec<u8> {
        self.anchors.concat()
    }

    /// A new root (and new intermediates) signs from now on.
    ///
    /// # Errors
    /// As [`Authority::new`]; then nothing has changed.
    pub fn rotate(&mut self, rotation: Rotation, window: Window) -> Result<(), CaError> {
        let options = self.options.clone().with_window(window);
        let fresh = Hierarchy::new(&self.trust_domain, &options)?;
        if rotation == Rotation::Abrupt {
            self.anchors.clear();
        }
        self.anchors.push(fresh.root.der.clone());
        self.options = options;
        self.current = Arc::new(fresh);
        Ok(())
    }

    /// Ends an overlap: only the root that signs now stays published.
    pub fn retire_old_roots(&mut self) {
        self.anchors = vec![self.current.root.der.clone()];
    }

    /// An attacker's imitation: every name and key identifier of this authority, other keys.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn forge(&self) -> Result<Self, CaError> {
        let forged = self.current.forged(&self.trust_domain, &self.options)?;
        let anchors = vec![forged.root.der.clone()];
        let (trust_domain, options) = (self.trust_domain.clone(), self.options.clone());
        Ok(Self {
            trust_domain,
            options,
            current: Arc::new(forged),
            anchors,
        })
    }

    /// Issues an SVID for `id` (`spiffe://example.org/frontend`).
    ///
    /// # Errors
    /// An ID outside this trust domain (unless [`Defect::AnyId`]), or one a certificate cannot carry.
    pub fn issue(&self, id: &str, options: &SvidOptions) -> Result<IssuedSvid, CaError> {
        if options.defect == Some(Defect::Forged) {
            return self.forge()?.issue(
                id,
                &SvidOptions {
                    defect: None,
                    ..options.clone()
                },
            );
        }
        self.check_id(id, options.defect)?;
        let key = KeyPair::generate_for(options.key.algorithm())?;
        let params = self.leaf_params(id, options)?;
        let signing = self.current.signing();
        let leaf = params.signed_by(&key, &signing.issuer())?;
        let mut chain_der = vec![leaf.der().to_vec()];
        // Nearest to the leaf first; the root is the verifier's to know.
        chain_der.extend(
            self.current
                .intermediates
                .iter()
                .rev()
                .map(|level| level.der.clone()),
        );
        Ok(IssuedSvid::new(
            id.to_owned(),
            chain_der,
            key.serialize_der(),
        ))
    }

    fn check_id(&self, id: &str, defect: Option<Defect>) -> Result<(), CaError> {
        let ours = id
            .strip_prefix(&self.bundle_key())
            .is_some_and(|path| path.starts_with('/'));
        if ours || defect == Some(Defect::AnyId) {
            return Ok(());
        }
        Err(CaError::ForeignId {
            id: id.to_owned(),
            trust_domain: self.trust_domain.clone(),
        })
    }

    fn leaf_params(&self, id: &str, options: &SvidOptions) -> Result<CertificateParams, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("SPIRE");
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        options.window.apply_to(&mut params)?;
        if let Some(defect) = options.defect {
            self.spoil(&mut params, options.window, defect)?;
        }
        Ok(params)
    }

    fn spoil(
        &self,
        params: &mut CertificateParams,
        window: Window,
        defect: Defect,
    ) -> Result<(), CaError> {
        match defect {
            Defect::Expired => window.before().apply_to(params)?,
            Defect::NotYetValid => window.after().apply_to(params)?,
            Defect::NoUriSan => {
                params.subject_alt_names = vec![SanType::DnsName("frontend.example".try_into()?)]
            }
            Defect::TwoUriSans => params
                .subject_alt_names
                .push(SanType::URI("https://frontend.example/".try_into()?)),
            Defect::PathlessId => {
                params.subject_alt_names =
                    vec![SanType::URI(self.bundle_key().as_str().try_into()?)];
            }
            Defect::WrongExtendedKeyUsage => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
            }
            Defect::CaTrue => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Defect::NoKeyUsage => params.key_usages.clear(),
            Defect::NoDigitalSignature => params
                .key_usages
                .retain(|usage| *usage != KeyUsagePurpose::DigitalSignature),
            Defect::KeyCertSign => params.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Defect::CrlSign => params.key_usages.push(KeyUsagePurpose::CrlSign),
            // The one is in the ID itself, the other in who signs.
            Defect::AnyId | Defect::Forged => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .field("anchors", &self.anchors.len())
            .field("intermediates", &self.current.intermediates.len())
            .finish_non_exhaustive()
    }
}
