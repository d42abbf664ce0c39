"""Procedural pedestrians in visible light and near infrared, in real data sets' on-disk layouts."""
