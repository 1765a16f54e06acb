#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: sbom.sh NAME VERSION EPOCH     an SPDX 2.3 document of rlxd and every Debian package that is installed here
set -eu
created=$(date -u -d "@$3" +%Y-%m-%dT%H:%M:%SZ)
cat <<DOCUMENT
{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "$1-$2",
 "documentNamespace": "https://spdx.org/spdxdocs/$1-$2",
 "creationInfo": {"created": "$created", "creators": ["Tool: docker/sbom.sh"]},
 "packages": [
  {"SPDXID": "SPDXRef-rlxd", "name": "$1", "versionInfo": "$2", "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseDeclared": "Apache-2.0"}
DOCUMENT
dpkg-query -W -f '  ,{"SPDXID": "SPDXRef-deb-${binary:Package}", "name": "${Package}", "versionInfo": "${Version}", "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:deb/debian/${Package}@${Version}?arch=${Architecture}"}]}\n' |
  sed 's/\(SPDXRef-deb-[^":]*\):/\1-/'
cat <<'DOCUMENT'
 ],
 "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-rlxd"}]}
DOCUMENT
