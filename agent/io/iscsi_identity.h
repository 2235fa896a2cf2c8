/* Who an iSCSI unit says that it is, asked by INQUIRY through the programs of libiscsi, as QEMU reaches it. */
#pragma once

#include "agent/io/limit.h"
#include "proto/probe.pb-c.h"

/* `url`: iscsi://HOST:PORT/IQN/LUN. `initiator`: "" for QEMU's default. Nothing is written. */
void iscsi_identity(const struct limit *limit, const char *url, const char *initiator,
                    Drover__V1__ProbeResult *result);

/* Of what iscsi-inq prints for page 0x80 (unit serial number) or 0x83 (device identification): "serial beaf11", or the first
 * designator in text. The caller's; NULL if there is none: binary designators are printed in a way that loses bytes. */
char *iscsi_identity_parse(const char *output);
