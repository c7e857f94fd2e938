"""adapter-transfer: what transfers from English intermediate tasks, and does size matter?"""
