package main

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// The kinds of refusal. The library tells most of them by text alone, so a
// class is found by asking the same question again, in the library's order.
const (
	classBadCase          = "bad-case"           // the line itself is wrong: a defect of the test
	classParse            = "parse"              // not a certificate
	classNoCertificates   = "no-certificates"    // empty chain
	classNoURISAN         = "no-uri-san"         // nothing to be an ID
	classManyURISANs      = "many-uri-sans"      // more than one URI SAN
	classBadID            = "bad-id"             // not a SPIFFE ID
	classLeafIsCA         = "leaf-is-ca"         // cA is true
	classLeafSigns        = "leaf-signs"         // keyCertSign or cRLSign on the leaf
	classNoBundle         = "no-bundle"          // no bundle for the ID's trust domain
	classExpired          = "expired"            // now > notAfter, somewhere in the path
	classNotYetValid      = "not-yet-valid"      // now < notBefore, somewhere in the path
	classUnknownAuthority = "unknown-authority"  // no path to an anchor
	classCritical         = "critical-extension" // an unhandled critical extension
	classPath             = "path"               // another rule of path validation
)

func classify(err error, certs []*x509.Certificate, bundles *x509bundle.Set, now time.Time) string {
	if class := classifyLeaf(certs, bundles); class != "" {
		return class
	}
	return classifyPath(err, now)
}

// classifyLeaf mirrors what the library checks before it builds a path.
func classifyLeaf(certs []*x509.Certificate, bundles *x509bundle.Set) string {
	if len(certs) == 0 {
		return classNoCertificates
	}
	leaf := certs[0]
	id, err := x509svid.IDFromCert(leaf)
	switch {
	case err != nil && len(leaf.URIs) == 0:
		return classNoURISAN
	case err != nil && len(leaf.URIs) > 1:
		return classManyURISANs
	case err != nil:
		return classBadID
	case leaf.IsCA:
		return classLeafIsCA
	case leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return classLeafSigns
	}
	if _, err := bundles.GetX509BundleForTrustDomain(id.TrustDomain()); err != nil {
		return classNoBundle
	}
	return ""
}

func classifyPath(err error, now time.Time) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		switch {
		case invalid.Reason != x509.Expired:
			return classPath
		case invalid.Cert != nil && now.Before(invalid.Cert.NotBefore):
			return classNotYetValid
		default:
			return classExpired
		}
	}
	if errors.As(err, new(x509.UnhandledCriticalExtension)) {
		return classCritical
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return classUnknownAuthority
	}
	return classPath
}
