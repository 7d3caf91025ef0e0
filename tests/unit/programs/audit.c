/* SPDX-License-Identifier: BSD-2-Clause */
/* An auditing library, rtld-audit(7), that audits nothing. */
unsigned la_version(unsigned version);
unsigned la_version(unsigned version)
{
	return version;
}
