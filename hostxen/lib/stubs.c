/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stubs.c: functions programs import (QEMU above all) but do not call for paravirtual devices. They exist so that a call
 * can never reach the real library, which would look for a hypervisor with a handle of ours; they say so and fail with
 * ENOSYS. The Xen headers are not included here: the prototypes are deliberately not the real ones, and a caller gets -1
 * or, from those that return pointers, NULL.
 */
#include <errno.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

static void complain(const char *name)
{
	fprintf(stderr, "hostxen: %s() is not served\n", name);
	errno = ENOSYS;
}

/* The second name tells test-bindings.sh that the first is not served. */
#define ALSO(name) EXPORT void hx_stub_##name(void) __attribute__((alias(#name), nothrow))

/* A caller that expects an int looks at the lower half of the long. */
#define NUMBER(name)                                                                                       \
	EXPORT long name(void);                                                                            \
	EXPORT long name(void)                                                                             \
	{                                                                                                  \
		complain(#name);                                                                           \
		return -1;                                                                                 \
	}                                                                                                  \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wattribute-alias\"") ALSO(name); \
	_Pragma("GCC diagnostic pop")
#define POINTER(name)                                                                                      \
	EXPORT void *name(void);                                                                           \
	EXPORT void *name(void)                                                                            \
	{                                                                                                  \
		complain(#name);                                                                           \
		return NULL;                                                                               \
	}                                                                                                  \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wattribute-alias\"") ALSO(name); \
	_Pragma("GCC diagnostic pop")

/* libxengnttab: dma-buf */
NUMBER(xengnttab_dmabuf_exp_from_refs)
NUMBER(xengnttab_dmabuf_exp_wait_released)
NUMBER(xengnttab_dmabuf_imp_to_refs)
NUMBER(xengnttab_dmabuf_imp_release)

/* libxenforeignmemory */
POINTER(xenforeignmemory_map)
POINTER(xenforeignmemory_map2)
NUMBER(xenforeignmemory_unmap)
POINTER(xenforeignmemory_map_resource)
NUMBER(xenforeignmemory_unmap_resource)
NUMBER(xenforeignmemory_resource_size)

/* libxenctrl: what QEMU imports and what is likely next */
NUMBER(xc_domain_bind_pt_pci_irq)
NUMBER(xc_domain_iomem_permission)
NUMBER(xc_domain_ioport_mapping)
NUMBER(xc_domain_memory_mapping)
NUMBER(xc_domain_populate_physmap_exact)
NUMBER(xc_domain_shutdown)
NUMBER(xc_domain_unbind_msi_irq)
NUMBER(xc_domain_unbind_pt_irq)
NUMBER(xc_domain_update_msi_irq)
NUMBER(xc_get_hvm_param)
NUMBER(xc_set_hvm_param)
NUMBER(xc_hvm_param_get)
NUMBER(xc_hvm_param_set)
NUMBER(xc_physdev_map_pirq)
NUMBER(xc_physdev_map_pirq_msi)
NUMBER(xc_physdev_unmap_pirq)
NUMBER(xc_evtchn_status)
NUMBER(xc_evtchn_alloc_unbound)
NUMBER(xc_version)
NUMBER(xc_physinfo)
NUMBER(xc_domain_maximum_gpfn)
POINTER(xc_map_foreign_range)
POINTER(xc_map_foreign_pages)
POINTER(xc_map_foreign_bulk)

/* libxendevicemodel */
NUMBER(xendevicemodel_create_ioreq_server)
NUMBER(xendevicemodel_destroy_ioreq_server)
NUMBER(xendevicemodel_get_ioreq_server_info)
NUMBER(xendevicemodel_inject_event)
NUMBER(xendevicemodel_inject_msi)
NUMBER(xendevicemodel_map_io_range_to_ioreq_server)
NUMBER(xendevicemodel_map_mem_type_to_ioreq_server)
NUMBER(xendevicemodel_map_pcidev_to_ioreq_server)
NUMBER(xendevicemodel_modified_memory)
NUMBER(xendevicemodel_modified_memory_bulk)
NUMBER(xendevicemodel_nr_vcpus)
NUMBER(xendevicemodel_pin_memory_cacheattr)
NUMBER(xendevicemodel_relocate_memory)
NUMBER(xendevicemodel_set_ioreq_server_state)
NUMBER(xendevicemodel_set_irq_level)
NUMBER(xendevicemodel_set_isa_irq_level)
NUMBER(xendevicemodel_set_mem_type)
NUMBER(xendevicemodel_set_pci_intx_level)
NUMBER(xendevicemodel_set_pci_link_route)
NUMBER(xendevicemodel_shutdown)
NUMBER(xendevicemodel_track_dirty_vram)
NUMBER(xendevicemodel_unmap_io_range_from_ioreq_server)
NUMBER(xendevicemodel_unmap_pcidev_from_ioreq_server)
