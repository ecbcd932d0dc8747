// Made by `npm run types` from the description of the control API. Not to be edited.

export interface paths {
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Numbers for Prometheus, in its text format 0.0.4
         * @description Numbers for Prometheus, in its text format 0.0.4.
         */
        get: operations["get_metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/apps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The apps that owners of the group allow
         * @description The apps that owners of the group allow.
         */
        get: operations["get_apps"];
        put?: never;
        /**
         * Installs an app: the body is its package
         * @description Installs an app: the body is its package. Owners only; with this an owner allows the app what its manifest wants, in the whole group.
         */
        post: operations["post_apps"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/apps/{app}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Removes an app, if no instance of it is left
         * @description Removes an app, if no instance of it is left. Owners only; no device of the group takes it any longer.
         */
        delete: operations["delete_apps_app"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/apps/{app}/icon": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * An app's icon: PNG
         * @description An app's icon: PNG.
         */
        get: operations["get_apps_app_icon"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/apps/{app}/run": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begins a new instance of an app, on a device or where it fits best
         * @description Begins a new instance of an app, on a device or where it fits best.
         */
        post: operations["post_apps_app_run"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What apps did with what they were granted, on this device
         * @description What apps did with what they were granted, on this device.
         */
        get: operations["get_audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/carried": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The apps that images of devices carry, of this device and of those that are connected
         * @description The apps that images of devices carry, of this device and of those that are connected.
         */
        get: operations["get_carried"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/carried/{app}/install": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Installs an app that a device carries, as if this owner had its package
         * @description Installs an app that a device carries, as if this owner had its package. Owners only.
         */
        post: operations["post_carried_app_install"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/console": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Makes a link that opens the console in a browser of this machine, or of another, once
         * @description Makes a link that opens the console in a browser of this machine, or of another, once. The console itself may not ask.
         */
        post: operations["post_console"];
        /**
         * Shuts the console's door for browsers of other machines, and ends what they have open
         * @description Shuts the console's door for browsers of other machines, and ends what they have open.
         */
        delete: operations["delete_console"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The other cores: processes of this device's own, and the kernel's
         * @description The other cores: processes of this device's own, and the kernel's.
         */
        get: operations["get_cores"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A core
         * @description A core.
         */
        get: operations["get_cores_name"];
        put?: never;
        post?: never;
        /**
         * Forgets a core that is a process and does not run
         * @description Forgets a core that is a process and does not run.
         */
        delete: operations["delete_cores_name"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}/do/{action}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Has something done to a core
         * @description Has something done to a core. The action is start, stop, restart, suspend, resume, attach or detach; the answer comes when it is done.
         */
        post: operations["post_cores_name_do_action"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}/dump": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A core's memory as an ELF core file: taken now if it runs, else that of its crash
         * @description A core's memory as an ELF core file: taken now if it runs, else that of its crash.
         */
        get: operations["get_cores_name_dump"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}/log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The last lines that a core and its satellites wrote
         * @description The last lines that a core and its satellites wrote.
         */
        get: operations["get_cores_name_log"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}/log/follow": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The same, and each line as it comes
         * @description The same, and each line as it comes.
         */
        get: operations["get_cores_name_log_follow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cores/{name}/ping": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sends a message to a core's endpoint `tutti-ping`, which gives it back
         * @description Sends a message to a core's endpoint `tutti-ping`, which gives it back.
         */
        post: operations["post_cores_name_ping"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/device": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This device
         * @description This device.
         */
        get: operations["get_device"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Renames this device
         * @description Renames this device.
         */
        patch: operations["patch_device"];
        trace?: never;
    };
    "/v1/devices": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The devices of the group, this one first
         * @description The devices of the group, this one first.
         */
        get: operations["get_devices"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/devices/{device}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Forgets a device
         * @description Forgets a device. Owners only. Each member refuses it as soon as it learns of it.
         */
        delete: operations["delete_devices_device"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/devices/{device}/role": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Changes a device's role
         * @description Changes a device's role. Owners only.
         */
        put: operations["put_devices_device_role"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/doctor": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Why do I see nobody? Checks of this device and its network
         * @description Why do I see nobody? Checks of this device and its network.
         */
        get: operations["get_doctor"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/doctor/cores": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What keeps this machine's cores from being used
         * @description What keeps this machine's cores from being used.
         */
        get: operations["get_doctor_cores"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Live changes: devices, nearby, resources, pairing, group and leases, each whole, the present state first
         * @description Live changes: devices, nearby, resources, pairing, group and leases, each whole, the present state first.
         */
        get: operations["get_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/group/leave": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Leaves the group
         * @description Leaves the group. This device is then the owner of a new group of one.
         */
        post: operations["post_group_leave"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/group/recover": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Makes this device an owner of its group again
         * @description Makes this device an owner of its group again.
         */
        post: operations["post_group_recover"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/group/recovery": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Exports the recovery words of the group
         * @description Exports the recovery words of the group. Owners only, and once.
         */
        post: operations["post_group_recovery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The instances of apps in the group
         * @description The instances of apps in the group.
         */
        get: operations["get_instances"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * An instance: by its id, the first six digits or more of it, or its app's name if there is but one
         * @description An instance: by its id, the first six digits or more of it, or its app's name if there is but one.
         */
        get: operations["get_instances_instance"];
        put?: never;
        post?: never;
        /**
         * Ends an instance for good, with its state; or discards a copy that was given up
         * @description Ends an instance for good, with its state; or discards a copy that was given up.
         */
        delete: operations["delete_instances_instance"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The last lines that an instance wrote at the home where it is now
         * @description The last lines that an instance wrote at the home where it is now.
         */
        get: operations["get_instances_instance_log"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/log/follow": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The same, and each line as it comes
         * @description The same, and each line as it comes.
         */
        get: operations["get_instances_instance_log_follow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/move": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Moves an instance while it runs
         * @description Moves an instance while it runs. The answer comes when the move has begun; `moving` tells its progress, and `reason` if it came to nothing.
         */
        post: operations["post_instances_instance_move"];
        /**
         * Gives a move up, if it is not decided
         * @description Gives a move up, if it is not decided.
         */
        delete: operations["delete_instances_instance_move"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/recover": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Goes on from the copy here, if the device that it waits for is lost for good
         * @description Goes on from the copy here, if the device that it waits for is lost for good. Owners only.
         */
        post: operations["post_instances_instance_recover"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/standby": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Names who goes on with an instance if its home is lost, in place of whoever does now
         * @description Names who goes on with an instance if its home is lost, in place of whoever does now. The answer comes when that device has a copy.
         */
        put: operations["put_instances_instance_standby"];
        post?: never;
        /**
         * Takes its standby away from an instance: nobody goes on with it any more if its home is lost
         * @description Takes its standby away from an instance: nobody goes on with it any more if its home is lost.
         */
        delete: operations["delete_instances_instance_standby"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Lets an instance that was stopped, or failed, go on
         * @description Lets an instance that was stopped, or failed, go on.
         */
        post: operations["post_instances_instance_start"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops an instance
         * @description Stops an instance. Its state is kept.
         */
        post: operations["post_instances_instance_stop"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/instances/{instance}/tell": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Tells an instance something
         * @description Tells an instance something.
         */
        post: operations["post_instances_instance_tell"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/join": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Enters another device's group
         * @description Enters another device's group. This device must be alone in its own.
         */
        post: operations["post_join"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The leases taken through this API
         * @description The leases taken through this API.
         */
        get: operations["get_leases"];
        put?: never;
        /**
         * Takes a lease
         * @description Takes a lease. It ends with its time unless it is renewed.
         */
        post: operations["post_leases"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Renews a lease
         * @description Renews a lease.
         */
        put: operations["put_leases_id"];
        post?: never;
        /**
         * Releases a lease
         * @description Releases a lease.
         */
        delete: operations["delete_leases_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/memory-map": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who has which memory of this chip, by its System Device Tree
         * @description Who has which memory of this chip, by its System Device Tree. Empty if it has none: most devices have none, and need none.
         */
        get: operations["get_memory-map"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/nearby": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Devices that were discovered and are not in the group
         * @description Devices that were discovered and are not in the group.
         */
        get: operations["get_nearby"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/offers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The resources offered through this API
         * @description The resources offered through this API.
         */
        get: operations["get_offers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/offers/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Offers a resource of this device, or refreshes it
         * @description Offers a resource of this device, or refreshes it. It is withdrawn when its time ends without a refresh.
         */
        put: operations["put_offers_name"];
        post?: never;
        /**
         * Withdraws an offered resource
         * @description Withdraws an offered resource.
         */
        delete: operations["delete_offers_name"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/offers/{name}/commands": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The values that others set an offered resource to, for the program behind it to obey
         * @description The values that others set an offered resource to, for the program behind it to obey.
         */
        get: operations["get_offers_name_commands"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This description
         * @description This description.
         */
        get: operations["get_openapi_json"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/pairing": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How the latest pairing stands
         * @description How the latest pairing stands.
         */
        get: operations["get_pairing"];
        put?: never;
        /**
         * Lets a device in
         * @description Lets a device in. Owners only. One code counts at a time: a new one replaces the old.
         */
        post: operations["post_pairing"];
        /**
         * Cancels the pairing
         * @description Cancels the pairing.
         */
        delete: operations["delete_pairing"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/place/{app}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Why an app would run where, and not elsewhere
         * @description Why an app would run where, and not elsewhere.
         */
        get: operations["get_place_app"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/resources": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What the devices of the group offer
         * @description What the devices of the group offer.
         */
        get: operations["get_resources"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/resources/{device}/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Takes a reading now
         * @description Takes a reading now.
         */
        get: operations["get_resources_device_name"];
        /**
         * Sets a resource to a value
         * @description Sets a resource to a value. An exclusive one is leased for the moment if no token is given.
         */
        put: operations["put_resources_device_name"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/resources/{device}/{name}/follow": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Readings as they change
         * @description Readings as they change.
         */
        get: operations["get_resources_device_name_follow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/resources/{device}/{name}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The values of the last hour, as far as this device saw them
         * @description The values of the last hour, as far as this device saw them.
         */
        get: operations["get_resources_device_name_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/satellites": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The links to satellites, and who is there
         * @description The links to satellites, and who is there.
         */
        get: operations["get_satellites"];
        put?: never;
        /**
         * Looks for a satellite on a link, from now on
         * @description Looks for a satellite on a link, from now on. It joins the pool through this device, which vouches for it.
         */
        post: operations["post_satellites"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/satellites/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Closes a link for good
         * @description Closes a link for good. The satellites behind it are gone.
         */
        delete: operations["delete_satellites_name"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/screens/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Opens a screen: a display resource of this device that stays as long as the answer is being read
         * @description Opens a screen: a display resource of this device that stays as long as the answer is being read.
         */
        put: operations["put_screens_name"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/screens/{name}/frames": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What a display of this device shows, and each change of it
         * @description What a display of this device shows, and each change of it.
         */
        get: operations["get_screens_name_frames"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/shutdown": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops this device cleanly
         * @description Stops this device cleanly.
         */
        post: operations["post_shutdown"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/standby": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * What a standby would mean, beforehand
         * @description What a standby would mean, beforehand. Nothing is changed.
         */
        post: operations["post_standby"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/storage/{device}/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The files of a storage resource
         * @description The files of a storage resource.
         */
        get: operations["get_storage_device_name"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/storage/{device}/{name}/{path}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A file
         * @description A file. The header `X-Tutti-Quota: USED/QUOTA` tells the storage's fill in bytes.
         */
        get: operations["get_storage_device_name_path"];
        /**
         * Stores a file whole, in place of one with the same path
         * @description Stores a file whole, in place of one with the same path. What is there stays until all of it has arrived.
         */
        put: operations["put_storage_device_name_path"];
        post?: never;
        /**
         * Removes a file
         * @description Removes a file.
         */
        delete: operations["delete_storage_device_name_path"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/timeline": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What happened in the group since this device started: the last 500, the oldest first
         * @description What happened in the group since this device started: the last 500, the oldest first.
         */
        get: operations["get_timeline"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description Who may use a resource. */
        Access: {
            /** @description Who may control it. */
            control: components["schemas"]["Audience"];
            /** @description Who may read it. */
            read: components["schemas"]["Audience"];
        };
        /** @description Where the control API is to be had. */
        ApiAddresses: {
            /** @description The Unix socket. */
            socket: string;
            /** @description The loopback TCP address, if it was asked for. The token is in the file `api-token` of the state folder. */
            tcp?: string | null;
        };
        /** @description An app that owners of the group allow. */
        App: {
            /** @description One line for people. */
            about: string;
            /** @description The id of its author's key. */
            author: string;
            /**
             * Format: int32
             * @description Thousandths of a processor that one instance may use.
             */
            cpu: number;
            /** @description The BLAKE3 digest of its package, in hexadecimal. */
            digest?: string | null;
            /** @description The least version that may run. */
            floor: string;
            /**
             * Format: int64
             * @description When: milliseconds since 1970, by that owner's clock.
             */
            granted_at: number;
            /** @description The id of the owner that allowed it. */
            granted_by: string;
            /** @description Whether the package is on this device. If not, it is fetched when it is to run here. */
            here: boolean;
            /** @description Whether it has an icon: `GET /v1/apps/{app}/icon`. */
            icon: boolean;
            /**
             * Format: int32
             * @description How many instances of it there are in the group.
             */
            instances: number;
            /**
             * Format: int32
             * @description KiB of memory that one instance may use.
             */
            memory_kib: number;
            /** @description Its name. */
            name: string;
            /** @description Why it cannot be moved while it runs; none if it can. */
            obstacle?: string | null;
            /**
             * Format: int64
             * @description The bytes of its package.
             */
            size: number;
            /** @description The version of the package that runs next; none if no device in sight has a package. */
            version?: string | null;
            /** @description What it would have. */
            wants: components["schemas"]["AppWant"][];
        };
        /** @description What a want is met by. */
        AppBinding: {
            /** @description The resource, as people call it ("kitchen/lamp"); none if there is nothing. */
            resource?: string | null;
            /** @description The app's word for it. */
            want: string;
        };
        /** @description One running copy of an app, or what is left of one. */
        AppInstance: {
            /** @description Its app. */
            app: string;
            /** @description What its wants are met by now. */
            bound: components["schemas"]["AppBinding"][];
            /**
             * Format: int32
             * @description How often an owner accepted a loss of it.
             */
            branch: number;
            /** @description The id of the device that this is said by: its home, unless it waits. */
            device: string;
            /** @description The name of that device. */
            device_name: string;
            /**
             * Format: int64
             * @description How often it has moved, and one more.
             */
            epoch: number;
            /**
             * Format: int64
             * @description How many events it has handled in its life at this home.
             */
            events: number;
            /**
             * Format: int64
             * @description How long after its home was last heard of it goes on at its standby, in milliseconds.
             */
            fail_over_ms?: number | null;
            /** @description Its id: 32 hexadecimal digits, kept wherever it moves. */
            id: string;
            /**
             * Format: int64
             * @description Bytes of its memory.
             */
            memory: number;
            /**
             * Format: int64
             * @description The most of its work that is lost then, in milliseconds of it; none without a standby, or if there is no bound.
             */
            most_lost_ms?: number | null;
            moving?: components["schemas"]["AppMove"] | null;
            /** @description Why, if it failed, or what was wrong last. */
            reason?: string | null;
            /**
             * Format: int32
             * @description How often it was begun anew because it broke, since this device started.
             */
            restarts: number;
            /** @description The name of the device that it would go on at if its home were lost; none without a standby. */
            standby?: string | null;
            /** @description What it does. */
            state: components["schemas"]["InstanceState"];
            /** @description Which version. */
            version: string;
            /** @description Whom it waits for: the name of the device that has to say whose it is. */
            waiting_for?: string | null;
        };
        /**
         * @description How important a line of an app's log is.
         * @enum {string}
         */
        AppLevel: "debug" | "info" | "warn" | "error" | "system";
        /** @description A line of an instance's log. */
        AppLine: {
            /**
             * Format: int64
             * @description When: milliseconds since 1970.
             */
            at: number;
            /** @description How important it is. */
            level: components["schemas"]["AppLevel"];
            /**
             * Format: int64
             * @description Its number: a gap means lines that are not kept any more.
             */
            number: number;
            /** @description What it says. Written by the app; control characters are replaced. */
            text: string;
        };
        /** @description A move that is under way. */
        AppMove: {
            /** @description How far it is. */
            phase: components["schemas"]["MovePhase"];
            /**
             * Format: int64
             * @description Bytes that the target has.
             */
            sent: number;
            /** @description The id of the target. */
            to: string;
            /** @description Its name. */
            to_name: string;
            /**
             * Format: int64
             * @description Bytes that there are to send, as far as is known.
             */
            total: number;
        };
        /** @description Something that an app would have. */
        AppWant: {
            /** @description Whether the owner allows it. */
            granted: boolean;
            /** @description The kind of resource. */
            kind: string;
            /**
             * Format: double
             * @description How high its range must reach.
             */
            max?: number | null;
            /**
             * Format: double
             * @description How low its range must reach.
             */
            min?: number | null;
            /** @description The app's word for it. */
            name: string;
            /** @description Whether it cannot do without. */
            required: boolean;
            /** @description The unit of its values; any if there is none. */
            unit?: string | null;
        };
        /** @description All there is to say of apps: the body of the event `apps`. */
        AppsState: {
            /** @description As `GET /v1/apps`. */
            apps: components["schemas"]["App"][];
            /** @description As `GET /v1/carried`. */
            carried?: components["schemas"]["CarriedApp"][];
            /** @description As `GET /v1/instances`. */
            instances: components["schemas"]["AppInstance"][];
        };
        /**
         * @description The least role that may do something.
         * @enum {string}
         */
        Audience: "nobody" | "owners" | "members" | "guests";
        /** @description A line of the audit log of this device. */
        AuditLine: {
            /** @description With what, or whom, or why. */
            about: string;
            /** @description Which app. */
            app: string;
            /**
             * Format: int64
             * @description When: milliseconds since 1970.
             */
            at: number;
            /** @description Which instance, if it is about one. */
            instance?: string | null;
            /**
             * Format: int64
             * @description Its number: a gap means lines that are not kept any more.
             */
            number: number;
            /** @description What was done. */
            what: components["schemas"]["AuditWhat"];
        };
        /**
         * @description What an app, or a person with one, did.
         * @enum {string}
         */
        AuditWhat: "installed" | "removed" | "started" | "arrived" | "left" | "ended" | "refused" | "bound" | "read" | "set" | "showed" | "sent";
        /** @description An app that the image of a device carries. It may be installed, or wait for an owner's word. */
        CarriedApp: {
            /** @description One line for people. */
            about: string;
            /** @description The id of its author's key. */
            author: string;
            /** @description The id of the device that carries it. */
            device: string;
            /** @description The name of that device. */
            device_name: string;
            /** @description The BLAKE3 digest of its package, in hexadecimal. */
            digest: string;
            /** @description Whether owners of the group allow it as it is. */
            installed: boolean;
            /**
             * Format: int32
             * @description KiB of memory that one instance may use.
             */
            memory_kib: number;
            /** @description Its name. */
            name: string;
            /** @description Whether it is run on that device once it is allowed. */
            run: boolean;
            /**
             * Format: int64
             * @description The bytes of its package.
             */
            size: number;
            /** @description Its version. */
            version: string;
            /** @description What it would have. */
            wants: components["schemas"]["AppWant"][];
        };
        /** @description One check of `doctor`. */
        Check: {
            /** @description What to do about it. */
            advice?: string | null;
            /** @description What was checked, in a word or two. */
            name: string;
            /** @description How it came out. */
            ok: components["schemas"]["CheckState"];
            /** @description What was found. */
            what: string;
        };
        /**
         * @description The outcome of a check.
         * @enum {string}
         */
        CheckState: "ok" | "warn" | "fail";
        /** @description A value that somebody sets an offered resource to. */
        Command: {
            /** @description The id of the device that sets it. */
            from: string;
            /** @description Its name. */
            from_name: string;
            /** @description The value. */
            value: components["schemas"]["Value"];
        };
        /** @description A link that opens the console in a browser of this machine, once. */
        ConsoleLink: {
            /**
             * Format: int64
             * @description For how long it counts.
             */
            expires_in_ms: number;
            network?: components["schemas"]["NetworkLink"] | null;
            /** @description The link. Whoever opens it first is let in, so it is not to be shown to others. */
            url: string;
        };
        /** @description Asks for a link to the console. */
        ConsoleRequest: {
            /** @description For a browser of another machine: over TLS, at every address of this one. Else on 127.0.0.1. */
            network?: boolean;
            /**
             * Format: int32
             * @description The port to serve the console at, if it is not served yet: any free one if left out.
             */
            port?: number | null;
        };
        /** @description A resource took a value. */
        Controlled: {
            /** @description The id of the device that offers it. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /** @description The resource's name. */
            name: string;
            /**
             * Format: int64
             * @description The fencing token that was used, where one was needed.
             */
            token?: number | null;
            /** @description The value that it took. */
            value: components["schemas"]["Value"];
        };
        /** @description A core. */
        Core: {
            /** @description The arguments of a process. */
            arguments?: string[];
            /** @description Its crashes since then, the latest last; the last 16 of them. */
            crashes?: components["schemas"]["CoreCrash"][];
            /** @description Its firmware: a file, or a name that the kernel looks for in its firmware folders; empty if it is not known. */
            firmware: string;
            /**
             * Format: int32
             * @description Which of its lives this is; another one after each start.
             */
            generation: number;
            /** @description What runs it. */
            kind: components["schemas"]["CoreKind"];
            /** @description What was wrong last. */
            last_error?: string | null;
            /** @description Whether there is an RPMsg link with it. */
            linked: boolean;
            /** @description Its name on this device. */
            name: string;
            /**
             * Format: int32
             * @description How often it was started again after a crash, since this device started.
             */
            recoveries: number;
            /** @description The names of the satellites behind it, the nearest first. */
            satellites: string[];
            /** @description Its state. */
            state: components["schemas"]["CoreState"];
            stop_message?: components["schemas"]["StopMessage"] | null;
        };
        /** @description A crash of a core. */
        CoreCrash: {
            /**
             * Format: int64
             * @description When it was noticed: milliseconds since 1970.
             */
            at: number;
            /**
             * Format: int32
             * @description Which of its lives ended.
             */
            generation: number;
            /** @description How. */
            what: string;
        };
        /**
         * @description What runs a core.
         * @enum {string}
         */
        CoreKind: "process" | "linux";
        /** @description A line of a core's log: of its trace, of its satellite, or (behind `--`) of what happened to it. */
        CoreLine: {
            /**
             * Format: int64
             * @description When it was read: milliseconds since 1970.
             */
            at: number;
            /**
             * Format: int64
             * @description Its number: a gap means lines that are not kept any more.
             */
            number: number;
            /** @description What it says. Written by the core; control characters are replaced. */
            text: string;
        };
        /** @description How long a message took to a core and back. */
        CorePing: {
            /**
             * Format: double
             * @description In microseconds.
             */
            round_trip_us: number;
        };
        /** @description What to start a core with. */
        CoreRequest: {
            /** @description For `start` with a program: its arguments. */
            arguments?: string[];
            /**
             * @description For `start`: its firmware from now on. With a name that is new and the whole path of a program, a new core that is
             *     a process. For the kernel's cores, a name in its firmware folders.
             */
            firmware?: string | null;
            stop_message?: components["schemas"]["StopMessage"] | null;
        };
        /**
         * @description The state of a core, in Linux's words.
         * @enum {string}
         */
        CoreState: "offline" | "suspended" | "running" | "crashed" | "attached" | "detached";
        /** @description A device of the group: a member, the answering device itself, or a satellite behind one. */
        Device: {
            /** @description Where it is reached now. */
            address?: string | null;
            /** @description Its processor architecture. */
            architecture: string;
            /** @description Its id: 64 hexadecimal digits. */
            id: string;
            /** @description `laptop`, `board`, `server`, `microcontroller`, …; empty as long as it has not described itself. */
            kind: string;
            /** @description Why the last attempt to reach it failed. */
            last_error?: string | null;
            /**
             * Format: int64
             * @description How long ago it was last heard of; none if never, or if it is the answering device.
             */
            last_seen_ms_ago?: number | null;
            /** @description What people call it. */
            name: string;
            /** @description Its operating system and version. */
            os: string;
            /** @description Whether it can be reached. */
            presence: components["schemas"]["Presence"];
            /** @description The profile that its image was built from. */
            profile: string;
            /**
             * Format: int32
             * @description How many resources it offers.
             */
            resources: number;
            role?: components["schemas"]["Role"] | null;
            room?: components["schemas"]["DeviceRoom"] | null;
            /**
             * Format: double
             * @description The time to it and back.
             */
            rtt_ms?: number | null;
            /** @description The version of its software. */
            software: string;
            traffic?: components["schemas"]["Traffic"] | null;
            /** @description The id of the device that it is reached through. */
            via?: string | null;
        };
        /** @description The device that answers. */
        DeviceInfo: {
            /** @description Where other devices can reach it: `address:port`. */
            addresses: string[];
            /** @description Where this API is to be had. */
            api: components["schemas"]["ApiAddresses"];
            /** @description The group that it is in. */
            group: components["schemas"]["GroupInfo"];
            /** @description Its id: 64 hexadecimal digits. */
            id: string;
            /** @description What people call it. */
            name: string;
            /**
             * Format: int32
             * @description Its process.
             */
            pid: number;
            /** @description Where it keeps its key, group and data. */
            state_dir: string;
            /**
             * Format: int64
             * @description For how long it has run.
             */
            uptime_ms: number;
            /** @description The version of its software. */
            version: string;
        };
        /** @description What a device has to run apps with. */
        DeviceRoom: {
            /**
             * Format: int64
             * @description How many bytes of memory its apps may have together; none if it does not know.
             */
            for_apps?: number | null;
            /**
             * Format: int64
             * @description Bytes of memory; none if it does not know.
             */
            memory?: number | null;
            /**
             * Format: int64
             * @description Bytes of memory that other things than Tutti have now, coarsely; none if it has not said.
             */
            memory_taken?: number | null;
            /**
             * Format: int32
             * @description How many processors; none if it does not know.
             */
            processors?: number | null;
            /**
             * Format: int32
             * @description Thousandths of a processor that other things than Tutti take now, coarsely; none if it has not said.
             */
            processors_taken?: number | null;
        };
        /** @description The body of every answer whose status is 400 or above. */
        ErrorBody: {
            /** @description What went wrong. */
            error: components["schemas"]["ErrorDetail"];
        };
        /**
         * @description Every reason for a refusal.
         * @enum {string}
         */
        ErrorCode: "bad-request" | "unauthorized" | "forbidden-host" | "cross-origin" | "no-such-route" | "method-not-allowed" | "no-such-device" | "no-such-resource" | "ambiguous" | "not-owner" | "not-allowed" | "offline" | "timed-out" | "held" | "lease-lost" | "not-readable" | "not-writable" | "bad-value" | "resource-failed" | "not-alone" | "last-owner" | "bad-code" | "bad-ticket" | "wrong-code" | "no-offer" | "expired" | "busy" | "unreachable" | "peer-misbehaved" | "already-exported" | "wrong-words" | "name-taken" | "no-such-offer" | "no-such-screen" | "no-such-file" | "bad-path" | "quota-exceeded" | "storage-failed" | "no-such-core" | "no-such-app" | "no-such-instance" | "bad-package" | "not-granted" | "does-not-fit" | "not-movable" | "wrong-state" | "unsupported" | "bad-tree" | "no-such-link" | "too-large" | "too-many" | "stopping" | "internal" | "unknown";
        /** @description What went wrong. */
        ErrorDetail: {
            /** @description For `ambiguous`, `no-such-device` and `no-such-resource`: what could have been meant. */
            candidates?: string[];
            /** @description For programs: stable across versions. */
            code: components["schemas"]["ErrorCode"];
            /** @description For people: what to do next; may be empty. */
            hint?: string;
            /** @description For people: what happened, and why. */
            message: string;
        };
        /** @description The group that a device is in. */
        GroupInfo: {
            /** @description Whether this device is the only one. */
            alone: boolean;
            /** @description The group's id, hexadecimal. */
            id: string;
            /**
             * Format: int32
             * @description How many devices are in it, this one included.
             */
            members: number;
            /** @description This device's role in it. */
            role: components["schemas"]["Role"];
        };
        /** @description Something that happened in the group, as this device saw it. */
        Happening: {
            /**
             * Format: int64
             * @description When, by this device's clock: milliseconds since 1970.
             */
            at: number;
            /** @description More on it, as `what` says. */
            detail?: string | null;
            /** @description The id of the device it happened to. */
            device: string;
            /** @description Its name then. */
            device_name: string;
            /**
             * Format: int64
             * @description Grows by one from each to the next.
             */
            number: number;
            /** @description What happened. */
            what: components["schemas"]["What"];
        };
        /**
         * @description The values that this device saw of a resource within the last hour, the oldest first.
         *
         *     A device notes its own resources every ten seconds, and those of others while somebody looks at live values here.
         */
        History: {
            /** @description The id of the device that offers the resource. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /** @description The resource's name. */
            name: string;
            /** @description The values. Only numbers and switches are noted. */
            points: components["schemas"]["Point"][];
            /** @description The unit of its values; empty for none. */
            unit: string;
        };
        /** @description Which carried app to install. */
        InstallCarried: {
            /** @description From this device: name, id or beginning of an id. If there is none, from any that carries it, if all carry the same. */
            from?: string | null;
        };
        /**
         * @description What an instance does.
         * @enum {string}
         */
        InstanceState: "starting" | "running" | "moving" | "waiting" | "stopped" | "failed" | "given-up" | "away";
        /** @description Enters another device's group: by `device` and `code`, or by `ticket`. */
        JoinRequest: {
            /** @description The code that it shows. */
            code?: string | null;
            /** @description The name or id of a nearby device that shows a code. */
            device?: string | null;
            /** @description Its ticket. */
            ticket?: string | null;
        };
        /** @description The group that was entered. */
        Joined: {
            /** @description Its id. */
            group: string;
            /** @description The id of the device that let this one in. */
            host: string;
            /** @description Its name. */
            host_name: string;
            /** @description This device's role. */
            role: components["schemas"]["Role"];
        };
        /** @description A lease that this device holds for a client of this API. Only `PUT` renews it; it ends with its time. */
        Lease: {
            /**
             * Format: int64
             * @description For how long it still counts.
             */
            expires_in_ms: number;
            /** @description Its id. */
            id: string;
            /** @description With whom it is shared. */
            mode: components["schemas"]["LeaseMode"];
            /** @description The resource: `kitchen/lamp`. */
            resource: string;
            /**
             * Format: int64
             * @description The fencing token to control the resource with.
             */
            token: number;
        };
        /** @description Who holds a resource. */
        LeaseHolder: {
            /**
             * Format: int64
             * @description For how long it still counts unless it is renewed.
             */
            expires_in_ms: number;
            /** @description The id of the device that holds it. */
            holder: string;
            /** @description Its name. */
            holder_name: string;
            /**
             * Format: int64
             * @description The lease's fencing token.
             */
            token: number;
        };
        /**
         * @description With whom a lease is shared.
         * @enum {string}
         */
        LeaseMode: "shared" | "exclusive";
        /** @description Asks for a lease. */
        LeaseRequest: {
            /**
             * Format: int64
             * @description For how long: 30 s if left out. The device that offers the resource may grant less.
             */
            duration_ms?: number | null;
            /** @description With whom: exclusive if left out. */
            mode?: components["schemas"]["LeaseMode"];
            /** @description What people type: `kitchen/lamp`. */
            resource: string;
        };
        /** @description Looks for a satellite on a link, from now on and after a restart. */
        LinkRequest: {
            /** @description `serial:/dev/ttyACM0`, `serial:/dev/ttyACM0@115200` or `unix:/path`. */
            link: string;
            /**
             * @description What to call the link, and the satellite at its end; if left out, the link is called after its path and the satellite
             *     what it calls itself.
             */
            name?: string | null;
        };
        /**
         * @description How a link to satellites stands.
         * @enum {string}
         */
        LinkState: "waiting" | "open" | "joined";
        /** @description A satellite on a link. */
        LinkedSatellite: {
            /**
             * Format: int32
             * @description How many satellites its frames pass on the way.
             */
            depth: number;
            /** @description The version of its firmware, in its own words. */
            firmware: string;
            /** @description Its id, which this device gave it. */
            id: string;
            /** @description Its name. */
            name: string;
            /**
             * Format: int32
             * @description How many resources it offers.
             */
            resources: number;
        };
        /** @description A stretch of memory, and who has it. */
        MemoryBlock: {
            /** @description Whether it is a carveout rather than memory. */
            carveout: boolean;
            /**
             * Format: int32
             * @description The domain that has it, by its place in `domains`; none for what the chip has.
             */
            domain?: number | null;
            /** @description The name of its node. */
            name: string;
            /** @description Whether two domains have it, neither of which is within the other. */
            shared: boolean;
            /** @description Its bytes, written the same way; never none. */
            size: string;
            /** @description Its first address, in hexadecimal behind `0x`: numbers of 64 bits are no numbers in many languages. */
            start: string;
        };
        /** @description A domain: an operating environment, and the processors that it runs on. */
        MemoryDomain: {
            /** @description Its processors: the name of each cluster, and which of it. */
            cpus: string[];
            /** @description Its name. */
            name: string;
        };
        /** @description Who has which memory of this chip, as its System Device Tree says. */
        MemoryMap: {
            /** @description Stretches of memory: what the chip has, and what each domain has of it. */
            blocks: components["schemas"]["MemoryBlock"][];
            /** @description The domains, outer before inner. */
            domains: components["schemas"]["MemoryDomain"][];
            /** @description The files that it is of; none if the device has no tree, and then there is nothing else either. */
            files: string[];
            /** @description What the tree calls the chip; empty if it does not say. */
            model: string;
        };
        /**
         * @description How far a move is.
         * @enum {string}
         */
        MovePhase: "package" | "asking" | "copying" | "reserving" | "pausing" | "committing";
        /** @description Where an instance is to go. */
        MoveRequest: {
            /** @description The device: name, id or beginning of an id. */
            to: string;
        };
        /** @description A device that was discovered and is not in the group. */
        NearbyDevice: {
            /** @description Where it says it is: `address:port`. */
            addresses: string[];
            /** @description The id that it claims. */
            id: string;
            /** @description The name that it claims. */
            name: string;
            /** @description Whether it shows a pairing code now. */
            pairing_open: boolean;
            /** @description How it was discovered. */
            source: components["schemas"]["Source"];
        };
        /** @description What a person needs to come in from another machine. */
        NetworkLink: {
            /** @description What can be typed at the page instead, once: six digits. */
            code: string;
            /** @description The SHA-256 of the certificate, as browsers show it, to be compared before their warning is passed over. */
            fingerprint: string;
            /** @description The link by each address of this machine, the likeliest first. */
            urls: string[];
        };
        /** @description Offers a resource of this device, or refreshes it. One that is not refreshed within `ttl_ms` is withdrawn. */
        OfferRequest: {
            /** @description `sensor`, `actuator`, …. */
            kind: string;
            /** @description What else is known of it. */
            properties?: {
                [key: string]: components["schemas"]["Value"];
            };
            /** @description How it may be leased: shared if left out. */
            sharing?: components["schemas"]["Sharing"];
            /** @description Whether its values are made up. */
            simulated?: boolean;
            /**
             * Format: int64
             * @description For how long without a refresh: 60 s if left out, at most an hour.
             */
            ttl_ms?: number | null;
            /** @description The unit of its values. */
            unit?: string;
            value?: components["schemas"]["Value"] | null;
            /** @description Whether it takes values: they come as `GET /v1/offers/{name}/commands`. */
            writable?: boolean;
        };
        /** @description A resource that an outside program offers. */
        Offered: {
            /**
             * Format: int64
             * @description When it was offered or refreshed last: milliseconds since 1970.
             */
            at: number;
            /**
             * Format: int64
             * @description For how long it stays without a refresh.
             */
            expires_in_ms: number;
            /** @description Its kind. */
            kind: string;
            /** @description Its name. */
            name: string;
            /** @description The unit of its values; empty for none. */
            unit: string;
            value?: components["schemas"]["Value"] | null;
            /** @description Whether it takes values. */
            writable: boolean;
        };
        /** @description What the new device needs to know: one of code and ticket. */
        PairingOffer: {
            /** @description Six digits to type on the other device. */
            code: string;
            /**
             * Format: int64
             * @description For how long the ticket counts; the code counts for two minutes at most.
             */
            expires_in_ms: number;
            /** @description The role that the new device gets. */
            role: components["schemas"]["Role"];
            /** @description The same with an address and a secret, to copy or to scan. */
            ticket: string;
        };
        /** @description Lets a device in. */
        PairingRequest: {
            /** @description The role that the new device gets: `member` if left out. */
            role?: components["schemas"]["Role"];
            /**
             * Format: int64
             * @description For how long the ticket counts: two minutes if left out, an hour at most. The code never counts for longer than two
             *     minutes. More is for a ticket that no person hands on, such as a device finds in its image.
             */
            ticket_life_ms?: number | null;
        };
        /**
         * @description How a pairing stands.
         * @enum {string}
         */
        PairingState: "none" | "open" | "paired" | "failed" | "expired";
        /** @description How the latest pairing stands. */
        PairingStatus: {
            /** @description The id of the device that came in. */
            device?: string | null;
            /**
             * Format: int64
             * @description For how long the offer still counts.
             */
            expires_in_ms?: number | null;
            /** @description Its name. */
            name?: string | null;
            /** @description The state. */
            state: components["schemas"]["PairingState"];
            /**
             * Format: int32
             * @description How many wrong codes may still be tried.
             */
            tries_left?: number | null;
            /** @description Why it failed. */
            why?: string | null;
        };
        /** @description Why devices are out of the question. */
        PlaceObstacle: {
            /**
             * Format: int32
             * @description How many devices.
             */
            devices: number;
            /** @description Why. */
            why: string;
        };
        /** @description A device that an app could run on. */
        PlaceOption: {
            /**
             * Format: int32
             * @description What it costs there, in points; less is better.
             */
            cost: number;
            /** @description Its id. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /** @description Of what that is made, for people. */
            terms: string[];
        };
        /** @description Why an app would run where, and not elsewhere. */
        PlaceWhy: {
            /** @description The app. */
            app: string;
            best?: components["schemas"]["PlaceOption"] | null;
            /** @description The instance that this is about; none if a new one would be placed. */
            instance?: string | null;
            /** @description What is out of the question: how many devices, and why. */
            obstacles: components["schemas"]["PlaceObstacle"][];
            /** @description The next best, at most three. */
            others: components["schemas"]["PlaceOption"][];
        };
        /** @description A value and its moment. */
        Point: {
            /**
             * Format: int64
             * @description When, by this device's clock: milliseconds since 1970.
             */
            at: number;
            /**
             * Format: double
             * @description The value; a switch is 0 or 1.
             */
            value: number;
        };
        /**
         * @description Whether a device can be reached.
         * @enum {string}
         */
        Presence: "self" | "online" | "offline";
        /** @description A reading. */
        Reading: {
            /**
             * Format: int64
             * @description When, by that device's clock: milliseconds since 1970.
             */
            at: number;
            /** @description The id of the device that took it. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /** @description The resource's name. */
            name: string;
            /** @description Whether it is made up. */
            simulated: boolean;
            /** @description Its unit; empty for none. */
            unit: string;
            /** @description What was read. */
            value: components["schemas"]["Value"];
        };
        /** @description An owner's word on what is lost. */
        RecoverInstance: {
            /** @description Has to be true: what the device that is lost did with the instance is given up for good. */
            accept_loss: boolean;
        };
        /** @description The words with which a device can make itself an owner of its group again. Whoever has them owns the group. */
        RecoveryWords: {
            /** @description The words, separated by spaces. */
            words: string;
        };
        /** @description A new name. */
        Rename: {
            /** @description 1 to 63 bytes of letters, digits, `-`, `_` and `.`. */
            name: string;
        };
        /** @description Renews a lease. */
        RenewLease: {
            /**
             * Format: int64
             * @description For how long from now: as before if left out.
             */
            duration_ms?: number | null;
        };
        /** @description A resource of a device of the group. */
        Resource: {
            /** @description Who may use it. */
            access: components["schemas"]["Access"];
            /**
             * Format: int64
             * @description When that was, by the clock of the device that offers it.
             */
            at?: number | null;
            /** @description The id of the device that offers it. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /** @description What people type: `kitchen/lamp`. */
            id: string;
            /**
             * @description `sensor`, `display`, `camera`, `microphone`, `speaker`, `input`, `storage`, `compute`, `inference` or
             *     `actuator`; `kind-N` for one that this version does not know.
             */
            kind: string;
            lease?: components["schemas"]["LeaseHolder"] | null;
            /** @description The resource's name on that device. */
            name: string;
            /** @description Whether its device can be reached. */
            online: boolean;
            /** @description What else is known of it. */
            properties?: {
                [key: string]: components["schemas"]["Value"];
            };
            /** @description Whether it gives readings. */
            readable: boolean;
            /** @description How it may be leased. */
            sharing: components["schemas"]["Sharing"];
            /** @description Whether its values are made up. */
            simulated: boolean;
            /** @description The unit of its values; empty for none. */
            unit: string;
            value?: components["schemas"]["Value"] | null;
            /** @description Whether it takes values. */
            writable: boolean;
        };
        /** @description What changes often of a resource, apart from what seldom does. */
        ResourceState: {
            /**
             * Format: int64
             * @description When that was, by the clock of the device that offers it.
             */
            at?: number | null;
            /** @description The id of the device that offers it. */
            device: string;
            lease?: components["schemas"]["LeaseHolder"] | null;
            /** @description The resource's name. */
            name: string;
            value?: components["schemas"]["Value"] | null;
        };
        /**
         * @description What a device may do in its trust group.
         * @enum {string}
         */
        Role: "guest" | "member" | "owner";
        /** @description A new role. */
        RoleChange: {
            /** @description The role. */
            role: components["schemas"]["Role"];
        };
        /** @description Where to run an app. */
        RunRequest: {
            /** @description On this device: name, id or beginning of an id. If there is none, where it fits best. */
            on?: string | null;
            standby?: components["schemas"]["StandbyRequest"] | null;
        };
        /** @description A link to satellites. */
        SatelliteLink: {
            /**
             * Format: int32
             * @description How many damaged frames were dropped since it was opened.
             */
            dropped: number;
            /** @description Why it is not open, or what was wrong last. */
            last_error?: string | null;
            /** @description What it is: as it was asked for; `core:NAME` for a remote core, whose link comes and goes with it. */
            link: string;
            /** @description Its name on this device. */
            name: string;
            /** @description Who is there; the nearest first. */
            satellites: components["schemas"]["LinkedSatellite"][];
            /** @description How it stands. */
            state: components["schemas"]["LinkState"];
        };
        /** @description What a screen shows: text, or an image. */
        ScreenFrame: {
            /** @description The name of the device that drew it. */
            from?: string | null;
            /** @description An image: PNG, in base64. */
            image?: string | null;
            /** @description Lines of text. */
            text?: string[];
        };
        /** @description Opens a screen: a display resource of this device that stays as long as the answer is being read. */
        ScreenRequest: {
            /**
             * Format: int32
             * @description Its width in characters.
             */
            columns: number;
            /**
             * Format: int32
             * @description Its height.
             */
            height?: number | null;
            /**
             * Format: int32
             * @description Its height in lines.
             */
            rows: number;
            /**
             * Format: int32
             * @description The width of the largest picture that it shows, in pixels; with `height`. If there is none, a character is as wide as a
             *     pixel, and as high as two.
             */
            width?: number | null;
        };
        /** @description A value for a resource. */
        SetValue: {
            /**
             * Format: int64
             * @description The fencing token of the lease to use. Without one, an exclusive resource is leased for the moment.
             */
            token?: number | null;
            /** @description The value. */
            value: components["schemas"]["Value"];
        };
        /**
         * @description How a resource may be leased.
         * @enum {string}
         */
        Sharing: "shared" | "exclusive";
        /**
         * @description How a device was discovered.
         * @enum {string}
         */
        Source: "mdns" | "same-host" | "ticket" | "saved" | "observed";
        /** @description What having a standby means. */
        StandbyForetold: {
            /**
             * Format: int64
             * @description How often it gets what has changed, in milliseconds.
             */
            checkpoint_ms: number;
            /** @description The id of the device. */
            device: string;
            /** @description Its name. */
            device_name: string;
            /**
             * Format: int64
             * @description How long after the home was last heard of it goes on, in milliseconds.
             */
            fail_over_ms: number;
            /**
             * Format: int64
             * @description How long the home may run without hearing of it, in milliseconds.
             */
            lease_ms: number;
            /**
             * Format: int64
             * @description The most work that is lost then, in milliseconds of it; none if there is no bound.
             */
            most_lost_ms?: number | null;
        };
        /** @description Who goes on with an instance if its home is lost, and how. */
        StandbyRequest: {
            /**
             * @description Going on matters more than that only one copy runs. While the two do not hear of each other, both may run; then the
             *     earlier copy stops and is kept.
             */
            available?: boolean;
            /**
             * Format: int64
             * @description How often the standby gets what has changed: each 100 to 3600000 milliseconds, 2000 if left out.
             */
            checkpoint_ms?: number | null;
            /** @description The device: name, id or beginning of an id. */
            device: string;
            /**
             * Format: int64
             * @description How long the home may run without hearing of the standby, and the standby waits before it goes on: 1000 to 3600000
             *     milliseconds, 10000 if left out.
             */
            lease_ms?: number | null;
        };
        /** @description The message that asks a firmware to stop. */
        StopMessage: {
            /** @description Its bytes, in hexadecimal. */
            bytes: string;
            /**
             * Format: int32
             * @description The address of the firmware's RPMsg endpoint that it goes to.
             */
            endpoint: number;
        };
        /** @description A file. */
        StorageEntry: {
            /**
             * Format: int64
             * @description When it was written: milliseconds since 1970.
             */
            modified: number;
            /** @description Its path, `/` between folders. */
            path: string;
            /**
             * Format: int64
             * @description Its size in bytes.
             */
            size: number;
        };
        /** @description The files of a storage resource. */
        StorageList: {
            /** @description The files, by path. */
            entries: components["schemas"]["StorageEntry"][];
            /**
             * Format: int64
             * @description Bytes that all files together may use.
             */
            quota: number;
            /**
             * Format: int64
             * @description Bytes used by all files.
             */
            used: number;
        };
        /** @description A file was stored. */
        Stored: {
            /** @description Its path. */
            path: string;
            /**
             * Format: int64
             * @description Its size in bytes.
             */
            size: number;
        };
        /** @description Something to tell an instance. */
        TellInstance: {
            /** @description What it is told, as a message from nobody (the id of zeros). */
            text: string;
        };
        /** @description Bytes on the network, with what the protocol adds and what had to be sent again. */
        Traffic: {
            /**
             * Format: int64
             * @description From the other device.
             */
            received: number;
            /**
             * Format: int64
             * @description To the other device.
             */
            sent: number;
        };
        /** @description A switch, a number (null if it is not finite), a text, or bytes. */
        Value: boolean | number | null | string | {
            base64: string;
        };
        /**
         * @description What sort of thing happened.
         * @enum {string}
         */
        What: "online" | "offline" | "joined" | "left" | "renamed" | "role" | "trouble" | "offered" | "withdrawn" | "leased" | "released";
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    get_metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_apps: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["App"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_apps: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/octet-stream": string;
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["App"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_apps_app: {
        parameters: {
            query?: {
                /** @description `stop`: also if instances are left. Each stops as soon as its device hears of it, and keeps its state. */
                instances?: string;
            };
            header?: never;
            path: {
                app: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_apps_app_icon: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                app: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": string;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_apps_app_run: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                app: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RunRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_audit: {
        parameters: {
            query?: {
                /** @description Only the lines behind the one with this number. */
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditLine"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_carried: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CarriedApp"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_carried_app_install: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                app: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["InstallCarried"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["App"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_console: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleLink"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_console: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_cores: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Core"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_cores_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Core"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_cores_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_cores_name_do_action: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                action: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CoreRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Core"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_cores_name_dump: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": string;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_cores_name_log: {
        parameters: {
            query?: {
                /** @description Only the lines behind the one with this number. */
                after?: string;
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CoreLine"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_cores_name_log_follow: {
        parameters: {
            query?: {
                /** @description Only the lines behind the one with this number. */
                after?: string;
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `line`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["CoreLine"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_cores_name_ping: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CorePing"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_device: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeviceInfo"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    patch_device: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Rename"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeviceInfo"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_devices: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Device"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_devices_device: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_devices_device_role: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RoleChange"];
            };
        };
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_doctor: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Check"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_doctor_cores: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Check"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_events: {
        parameters: {
            query?: {
                /** @description `apart`: resources come without values and leases; what changes of those comes as `values`, all of them first, then a list of ResourceState with only what changed. */
                values?: string;
                /** @description `yes`: also `timeline`, as `GET /v1/timeline`, whenever something happens. */
                timeline?: string;
                /** @description `yes`: also `cores`, as `GET /v1/cores`. */
                cores?: string;
                /** @description `yes`: also `apps`: an AppsState, as `GET /v1/apps` and `GET /v1/instances`. */
                apps?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `devices`, `nearby`, `resources`, `pairing`, `group` and `leases`; their data is JSON with the body of the GET route of the same name (`group`: a GroupInfo; `values`: ResourceState; `apps`: AppsState). `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_group_leave: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GroupInfo"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_group_recover: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RecoveryWords"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GroupInfo"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_group_recovery: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RecoveryWords"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_instances: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_instances_instance: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_instances_instance: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_instances_instance_log: {
        parameters: {
            query?: {
                /** @description Only the lines behind the one with this number. */
                after?: string;
            };
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppLine"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_instances_instance_log_follow: {
        parameters: {
            query?: {
                /** @description Only the lines behind the one with this number. */
                after?: string;
            };
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `line`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["AppLine"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_instances_instance_move: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["MoveRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_instances_instance_move: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_instances_instance_recover: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RecoverInstance"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_instances_instance_standby: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StandbyRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_instances_instance_standby: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_instances_instance_start: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_instances_instance_stop: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AppInstance"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_instances_instance_tell: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TellInstance"];
            };
        };
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_join: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JoinRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Joined"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_leases: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Lease"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_leases: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LeaseRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Lease"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_leases_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RenewLease"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Lease"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_leases_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    "get_memory-map": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MemoryMap"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_nearby: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NearbyDevice"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_offers: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offered"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_offers_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OfferRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offered"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_offers_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_offers_name_commands: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `command`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["Command"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_openapi_json: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_pairing: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PairingStatus"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_pairing: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PairingRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PairingOffer"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_pairing: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_place_app: {
        parameters: {
            query?: {
                /** @description Explain where this instance is, rather than where a new one would be. */
                instance?: string;
            };
            header?: never;
            path: {
                app: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PlaceWhy"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_resources: {
        parameters: {
            query?: {
                /** @description Only resources of this kind. */
                kind?: string;
                /** @description Only those of this device: its name, its id, or the first six digits or more of the id. */
                device?: string;
                /** @description Only those with this name. */
                name?: string;
                /** @description Only those with this property: `key=value`. */
                property?: string[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Resource"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_resources_device_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Reading"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_resources_device_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SetValue"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Controlled"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_resources_device_name_follow: {
        parameters: {
            query?: {
                /** @description The least time between two readings: 1000 if left out. */
                interval_ms?: string;
            };
            header?: never;
            path: {
                device: string;
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `reading`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["Reading"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_resources_device_name_history: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["History"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_satellites: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SatelliteLink"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_satellites: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["LinkRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SatelliteLink"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_satellites_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_screens_name: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ScreenRequest"];
            };
        };
        responses: {
            /** @description Events named `frame`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["ScreenFrame"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_screens_name_frames: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `frame`; their data is JSON as described. `ping` each 15 s. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["ScreenFrame"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_shutdown: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    post_standby: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StandbyRequest"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StandbyForetold"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_storage_device_name: {
        parameters: {
            query?: {
                /** @description Only files whose path begins so. */
                prefix?: string;
            };
            header?: never;
            path: {
                device: string;
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StorageList"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_storage_device_name_path: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
                path: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": string;
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    put_storage_device_name_path: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
                path: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/octet-stream": string;
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Stored"];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    delete_storage_device_name_path: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                device: string;
                name: string;
                path: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    get_timeline: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Happening"][];
                };
            };
            /** @description An error. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
}
