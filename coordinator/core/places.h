/* Where a guest's disks and interfaces lead, which is what agents prove. Pure. */
#pragma once

#include "proto/types.pb-c.h"

/* What leads elsewhere, or has come or gone, between the two: "disk vdb has come", for the operator. NULL if nothing; owned by the
 * caller. */
char *places_changed(const Drover__V1__Guest *before, const Drover__V1__Guest *now);
