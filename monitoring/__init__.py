"""External monitoring of the service: generates the files of k8s/monitoring. Needs the extra `dev`; never deployed."""
