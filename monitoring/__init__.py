"""What watches the service from outside: makes the files of k8s/monitoring. Needs the extra `dev`; never deployed."""
