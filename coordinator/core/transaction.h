/* The coordinator's half of a two-phase migration: a pure state machine (design.md, "The handover").
 *
 *            order                        all yes
 *    (new) -------> PREPARING ---------------------------> TRANSFER
 *                      | no, timeout, cancel                  | any end, error, cancel, silence
 *                      v                                      v
 *                  SETTLING <---------------------------------+
 *                   |     |   asked until answered; never guessed
 *             KEPT  |     |  GONE
 *                   v     v
 *            ABORTING     ACTIVATING ---- LOST ---> COLD_START
 *                   |     | RUNNING                    |
 *                   v     v                            v
 *             ABORTED     RELEASING ------> DONE <-----+
 *
 * Invariant: no message is sent for a state that is not durable. txn_step only says what to do; the driver journals first.
 */
#pragma once
