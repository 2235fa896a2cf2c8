/* Parts of guest_xml_parse: what the guest needs of its host beside disks and interfaces, and what of it can't migrate. */
#pragma once

#include "agent/io/xml.h"
#include "proto/types.pb-c.h"

/* Adds cpu, hugepages, features, paths and hostdevs. The domain has at most as many devices as guest_xml_parse allows. */
void guest_needs_parse(const xmlNode *domain, Drover__V1__Guest *guest);
